-- Identifiers are text; what may be long or hold any character is found by its SHA-256.
CREATE TABLE postern_rows (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    links TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX postern_rows_version ON postern_rows (version);

CREATE TABLE postern_keys (
    kind TEXT NOT NULL,
    field TEXT NOT NULL,
    digest TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (kind, field, digest)
) WITHOUT ROWID;
CREATE INDEX postern_keys_row ON postern_keys (kind, id);

CREATE TABLE postern_references (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    field TEXT NOT NULL,
    to_kind TEXT NOT NULL,
    to_id TEXT NOT NULL,
    cascades INTEGER NOT NULL
);
CREATE INDEX postern_references_row ON postern_references (kind, id);
CREATE INDEX postern_references_to ON postern_references (to_id, to_kind);

CREATE TABLE postern_tags (
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (kind, digest, id)
) WITHOUT ROWID;
CREATE INDEX postern_tags_row ON postern_tags (kind, id);

CREATE TABLE postern_changes (
    revision INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    made_by TEXT NOT NULL
);
