-- Identifiers are text, in the order of their bytes; what may be long or hold any character is found by its SHA-256.
CREATE TABLE postern_rows (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    body text NOT NULL,
    links text NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX postern_rows_version ON postern_rows (version);

CREATE TABLE postern_keys (
    kind text COLLATE "C" NOT NULL,
    field text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, field, digest)
);
CREATE INDEX postern_keys_row ON postern_keys (kind, id);

CREATE TABLE postern_references (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    field text COLLATE "C" NOT NULL,
    to_kind text COLLATE "C" NOT NULL,
    to_id text COLLATE "C" NOT NULL,
    cascades bigint NOT NULL
);
CREATE INDEX postern_references_row ON postern_references (kind, id);
CREATE INDEX postern_references_to ON postern_references (to_id, to_kind);

CREATE TABLE postern_tags (
    kind text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, digest, id)
);
CREATE INDEX postern_tags_row ON postern_tags (kind, id);

CREATE TABLE postern_changes (
    revision bigint NOT NULL PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    deleted bigint NOT NULL,
    made_at bigint NOT NULL,
    made_by text NOT NULL
);
