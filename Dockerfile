# syntax=docker/dockerfile:1
# docker build -t postern .
# docker run --rm -p 8000:8000 -v "$PWD/kong.yaml:/etc/postern/kong.yaml:ro" postern

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# The dev stack (postern dev, postern demo) stays out of what serves.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release -p postern --no-default-features \
    && cp target/release/postern /usr/local/bin/postern \
    && install -d -m 0700 /state

# glibc, the certificates of public authorities, a user without rights; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /usr/local/bin/postern /usr/local/bin/postern
COPY --from=build --chown=nonroot:nonroot /state /var/lib/postern
ENV POSTERN_PREFIX=/var/lib/postern \
    POSTERN_DECLARATIVE_CONFIG=/etc/postern/kong.yaml \
    POSTERN_PROXY_ACCESS_LOG=/dev/stdout
USER nonroot
# 8007 has /status and /metrics. It listens on loopback, which is enough for the health check below; set
# POSTERN_STATUS_LISTEN=0.0.0.0:8007 where others are to ask.
EXPOSE 8000 8443 8007
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/usr/local/bin/postern", "health"]
ENTRYPOINT ["/usr/local/bin/postern"]
CMD ["start"]
