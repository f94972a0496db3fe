//! Trace context in headers, in the formats of nine families of tracers.
//!
//! Owns: what their headers are called and how they are written. Must not know: who traces, and whether. What a client sends
//! is hostile: an identifier is hexadecimal (decimal where the format says so), not zero and of the right length, or the
//! header is as good as not there.

use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::view::Request;

/// How a trace context is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    /// AWS X-Ray: `X-Amzn-Trace-Id`.
    Aws,
    /// Zipkin: `X-B3-*`; read in one header as well.
    B3,
    /// Zipkin in one header: `b3`.
    B3Single,
    /// `X-Datadog-*`.
    Datadog,
    /// `X-Cloud-Trace-Context`.
    Gcp,
    /// `X-Instana-*`.
    Instana,
    /// `uber-trace-id`.
    Jaeger,
    /// OpenTracing's basic tracers: `ot-tracer-*`.
    Ot,
    /// W3C Trace Context: `traceparent`.
    W3c,
}

impl Format {
    /// In the order in which they are looked for where nobody says which are meant.
    pub(super) const ALL: [Self; 8] =
        [Self::W3c, Self::B3, Self::Jaeger, Self::Ot, Self::Datadog, Self::Aws, Self::Gcp, Self::Instana];

    /// By its name in configurations.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name)).ok()
    }
}

/// What came with a request, or goes with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    /// Which trace.
    pub(super) trace: u128,
    /// The span that the next one is a child of.
    pub(super) span: Option<u64>,
    /// Whether the trace is recorded, where somebody has decided.
    pub(super) sampled: Option<bool>,
}

const AWS: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const DATADOG_TRACE: HeaderName = HeaderName::from_static("x-datadog-trace-id");
const DATADOG_SPAN: HeaderName = HeaderName::from_static("x-datadog-parent-id");
const DATADOG_SAMPLED: HeaderName = HeaderName::from_static("x-datadog-sampling-priority");
const GCP: HeaderName = HeaderName::from_static("x-cloud-trace-context");
const INSTANA_TRACE: HeaderName = HeaderName::from_static("x-instana-t");
const INSTANA_SPAN: HeaderName = HeaderName::from_static("x-instana-s");
const INSTANA_SAMPLED: HeaderName = HeaderName::from_static("x-instana-l");
const JAEGER: HeaderName = HeaderName::from_static("uber-trace-id");
const OT_TRACE: HeaderName = HeaderName::from_static("ot-tracer-traceid");
const OT_SPAN: HeaderName = HeaderName::from_static("ot-tracer-spanid");
const OT_SAMPLED: HeaderName = HeaderName::from_static("ot-tracer-sampled");
const W3C: HeaderName = HeaderName::from_static("traceparent");

/// The context that came with a request in the first of these formats that it has, and which that was.
pub(super) fn extract(request: &Request, formats: &[Format]) -> Option<(Context, Format)> {
    formats.iter().find_map(|format| read(request, *format))
}

fn read(request: &Request, format: Format) -> Option<(Context, Format)> {
    let text = |name: HeaderName| request.header(name);
    let context = match format {
        Format::W3c => w3c(text(W3C)?)?,
        Format::B3 | Format::B3Single => {
            if let Some(context) = text(B3).and_then(b3_single) {
                return Some((context, Format::B3Single));
            }
            let sampled = match (text(B3_FLAGS), text(B3_SAMPLED)) {
                // Debug means that it is.
                (Some("1"), _) => Some(true),
                (_, flag) => flag.and_then(flag_of),
            };
            Context { trace: long(text(B3_TRACE)?)?, span: text(B3_SPAN).and_then(short), sampled }
        }
        Format::Jaeger => {
            // {trace-id}:{span-id}:{parent-span-id}:{flags}, leading zeros left out.
            let mut parts = text(JAEGER)?.split(':');
            let (trace, span) = (parts.next()?, parts.next()?);
            let flags = parts.nth(1)?;
            let flags = u8::from_str_radix(flags, 16).ok().filter(|_| flags.len() <= 2)?;
            Context {
                trace: up_to(trace, 32)?,
                span: narrow(up_to(span, 16)?),
                sampled: Some(flags & 1 == 1),
            }
        }
        Format::Ot => Context {
            trace: long(text(OT_TRACE)?)?,
            span: text(OT_SPAN).and_then(short),
            sampled: text(OT_SAMPLED).and_then(flag_of),
        },
        Format::Datadog => Context {
            trace: u128::from(decimal(text(DATADOG_TRACE)?)?),
            span: text(DATADOG_SPAN).and_then(decimal),
            sampled: text(DATADOG_SAMPLED).and_then(|text| Some(text.parse::<i8>().ok()? > 0)),
        },
        Format::Aws => {
            let (mut trace, mut span, mut sampled) = (None, None, None);
            for part in text(AWS)?.split(';') {
                match part.trim().split_once('=')? {
                    // 1-{8 digits}-{24 digits}
                    ("Root", root) => {
                        let (time, rest) = root.strip_prefix("1-")?.split_once('-')?;
                        trace = (time.len() == 8 && rest.len() == 24).then(|| [time, rest].concat());
                    }
                    ("Parent", parent) => span = short(parent),
                    ("Sampled", flag) => sampled = flag_of(flag),
                    _ => {}
                }
            }
            Context { trace: long(&trace?)?, span, sampled }
        }
        Format::Gcp => {
            // {trace-id}/{span-id in decimal};o={flag}
            let (trace, rest) = text(GCP)?.split_once('/')?;
            let (span, flag) = rest.split_once(";o=").map_or((rest, None), |(span, flag)| (span, Some(flag)));
            Context { trace: long(trace)?, span: Some(decimal(span)?), sampled: flag.and_then(flag_of) }
        }
        Format::Instana => Context {
            trace: long(text(INSTANA_TRACE)?)?,
            span: text(INSTANA_SPAN).and_then(short),
            sampled: text(INSTANA_SAMPLED).and_then(|text| flag_of(text.get(..1)?)),
        },
    };
    Some((context, format))
}

/// 00-{trace-id}-{span-id}-{flags}; a later version may have more.
fn w3c(text: &str) -> Option<Context> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_version = version.len() == 2 && lower_hex(version) && version != "ff";
    if !is_version || version == "00" && parts.next().is_some() {
        return None;
    }
    if trace.len() != 32
        || span.len() != 16
        || flags.len() != 2
        || ![trace, span, flags].into_iter().all(lower_hex)
    {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(Context { trace: long(trace)?, span: Some(short(span)?), sampled: Some(flags & 1 == 1) })
}

/// {trace-id}-{span-id}-{flag}-{parent}; the last two may be missing.
fn b3_single(text: &str) -> Option<Context> {
    let mut parts = text.split('-');
    let (trace, span) = (parts.next()?, parts.next()?);
    let sampled = parts.next().and_then(|flag| if flag == "d" { Some(true) } else { flag_of(flag) });
    Some(Context { trace: long(trace)?, span: Some(short(span)?), sampled })
}

fn flag_of(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

fn lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// 128 bits, or 64 as older tracers have them.
fn long(text: &str) -> Option<u128> {
    matches!(text.len(), 16 | 32).then(|| up_to(text, 32)).flatten()
}

fn short(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| up_to(text, 16)).flatten().and_then(narrow)
}

fn up_to(text: &str, digits: usize) -> Option<u128> {
    let is_hex =
        !text.is_empty() && text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().filter(|id| *id != 0)
}

fn decimal(text: &str) -> Option<u64> {
    let is_one = text.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| text.parse().ok()).flatten().filter(|id| *id != 0)
}

fn narrow(id: u128) -> Option<u64> {
    u64::try_from(id).ok()
}

/// Writes a context in a format, in place of whatever was there in it.
pub(super) fn inject(request: &mut Request, format: Format, context: &Context, parent: Option<u64>) {
    let Context { trace, span, sampled } = *context;
    let (span, is_sampled) = (span.unwrap_or_default(), sampled.unwrap_or(false));
    let flag = u8::from(is_sampled);
    let mut set = |name: HeaderName, text: String| {
        // Digits and a few signs can always stand in a header.
        if let Ok(value) = HeaderValue::try_from(text) {
            request.headers.insert(name, value);
        }
    };
    match format {
        Format::W3c => set(W3C, format!("00-{trace:032x}-{span:016x}-0{flag}")),
        Format::B3 => {
            set(B3_TRACE, format!("{trace:032x}"));
            set(B3_SPAN, format!("{span:016x}"));
            set(B3_SAMPLED, flag.to_string());
            if let Some(parent) = parent {
                set(B3_PARENT, format!("{parent:016x}"));
            }
        }
        Format::B3Single => {
            let parent = parent.map_or_else(String::new, |parent| format!("-{parent:016x}"));
            set(B3, format!("{trace:032x}-{span:016x}-{flag}{parent}"));
        }
        Format::Jaeger => {
            set(JAEGER, format!("{trace:032x}:{span:016x}:{:016x}:0{flag}", parent.unwrap_or_default()));
        }
        Format::Ot => {
            set(OT_TRACE, format!("{trace:032x}"));
            set(OT_SPAN, format!("{span:016x}"));
            set(OT_SAMPLED, flag.to_string());
        }
        Format::Datadog => {
            #[expect(clippy::cast_possible_truncation, reason = "Datadog has the lower half")]
            set(DATADOG_TRACE, (trace as u64).to_string());
            set(DATADOG_SPAN, span.to_string());
            set(DATADOG_SAMPLED, flag.to_string());
        }
        Format::Aws => {
            let digits = format!("{trace:032x}");
            set(AWS, format!("Root=1-{}-{};Parent={span:016x};Sampled={flag}", &digits[..8], &digits[8..]));
        }
        Format::Gcp => set(GCP, format!("{trace:032x}/{span};o={flag}")),
        Format::Instana => {
            set(INSTANA_TRACE, format!("{trace:032x}"));
            set(INSTANA_SPAN, format!("{span:016x}"));
            set(INSTANA_SAMPLED, flag.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
    const SPAN: u64 = 0xb7ad_6b71_6920_3331;

    fn read_of(headers: &[(&str, &str)], formats: &[Format]) -> Option<(Context, Format)> {
        let request =
            headers.iter().fold(Request::for_test(), |request, (name, value)| request.with(name, value));
        extract(&request, formats)
    }

    #[test]
    fn published_examples_are_read() {
        let full = |sampled| Context { trace: TRACE, span: Some(SPAN), sampled };
        let id = "0af7651916cd43dd8448eb211c80319c";
        type Headers<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Headers<'_>, Format, Context); 10] = [
            (&[("traceparent", &format!("00-{id}-b7ad6b7169203331-01"))], Format::W3c, full(Some(true))),
            (
                &[("traceparent", &format!("cc-{id}-b7ad6b7169203331-00-more"))],
                Format::W3c,
                full(Some(false)),
            ),
            (
                &[("x-b3-traceid", id), ("x-b3-spanid", "b7ad6b7169203331"), ("x-b3-sampled", "1")],
                Format::B3,
                full(Some(true)),
            ),
            (&[("b3", &format!("{id}-b7ad6b7169203331-d"))], Format::B3Single, full(Some(true))),
            (&[("uber-trace-id", &format!("{id}:b7ad6b7169203331:0:1"))], Format::Jaeger, full(Some(true))),
            (&[("ot-tracer-traceid", id), ("ot-tracer-spanid", "b7ad6b7169203331")], Format::Ot, full(None)),
            (
                &[(
                    "x-amzn-trace-id",
                    "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=0",
                )],
                Format::Aws,
                full(Some(false)),
            ),
            (&[("x-cloud-trace-context", &format!("{id}/{SPAN};o=1"))], Format::Gcp, full(Some(true))),
            (
                &[("x-instana-t", id), ("x-instana-s", "b7ad6b7169203331"), ("x-instana-l", "1,correlation")],
                Format::Instana,
                full(Some(true)),
            ),
            (
                &[
                    ("x-datadog-trace-id", "7"),
                    ("x-datadog-parent-id", "8"),
                    ("x-datadog-sampling-priority", "2"),
                ],
                Format::Datadog,
                Context { trace: 7, span: Some(8), sampled: Some(true) },
            ),
        ];
        for (headers, format, context) in cases {
            assert_eq!(read_of(headers, &Format::ALL), Some((context, format)), "{headers:?}");
        }
    }

    #[test]
    fn what_is_no_context_counts_as_none() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for (name, value) in [
            ("traceparent", format!("ff-{id}-b7ad6b7169203331-01")),
            ("traceparent", format!("00-{id}-b7ad6b7169203331-01-more")),
            ("traceparent", format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))),
            ("traceparent", format!("00-{id}-{}-01", "0".repeat(16))),
            ("traceparent", format!("00-{}-b7ad6b7169203331-01", id.to_uppercase())),
            ("traceparent", format!("00-{id}-b7ad6b7169203331")),
            ("traceparent", format!("00-+{}-b7ad6b7169203331-01", &id[1..])),
            ("b3", "0".to_owned()),
            ("uber-trace-id", format!("{id}{id}:1:0:1")),
            ("uber-trace-id", format!("{id}:1:0:fff")),
            ("x-datadog-trace-id", "99999999999999999999999".to_owned()),
            ("x-amzn-trace-id", "Root=1-1-2".to_owned()),
            ("x-cloud-trace-context", id.to_owned()),
        ] {
            assert_eq!(read_of(&[(name, &value)], &Format::ALL), None, "{name}: {value}");
        }
        // Only the formats that are meant.
        let parent = format!("00-{id}-b7ad6b7169203331-01");
        assert_eq!(read_of(&[("traceparent", &parent)], &[Format::B3]), None);
        assert_eq!(read_of(&[("traceparent", &parent)], &[]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace in 1u128.., span in 1u64.., sampled: bool, parent: Option<u64>) {
            let context = Context { trace, span: Some(span), sampled: Some(sampled) };
            for format in Format::ALL.into_iter().chain([Format::B3Single]) {
                let mut request = Request::for_test();
                inject(&mut request, format, &context, parent);
                let expected = match format {
                    Format::Datadog if trace as u64 == 0 => continue,
                    Format::Datadog => Context { trace: u128::from(trace as u64), ..context },
                    _ => context,
                };
                prop_assert_eq!(extract(&request, &[format]), Some((expected, format)));
            }
        }

        #[test]
        fn nothing_that_a_client_sends_harms(value in "[ -~]{0,80}") {
            let names = [AWS, B3, B3_TRACE, B3_SPAN, DATADOG_TRACE, GCP, INSTANA_TRACE, JAEGER, OT_TRACE, W3C];
            let mut request = Request::for_test();
            for name in names {
                request.headers.insert(name, HeaderValue::try_from(&value).unwrap());
            }
            let _ = extract(&request, &Format::ALL);
        }
    }
}
