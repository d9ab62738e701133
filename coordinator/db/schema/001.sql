-- SPDX-License-Identifier: GPL-3.0-or-later
-- Version 1. Digests and keys are raw 32-byte blobs; times are milliseconds since 1970 (UTC).
-- Nothing here is an authority: the gate recomputes from envelopes and bytes (docs/THREATS.md, D1-D5).

-- One row per admitted worker. 'entry' is the signed directory entry as it arrived.
CREATE TABLE worker (
    name        TEXT    NOT NULL PRIMARY KEY,
    operator    TEXT    NOT NULL,
    ed25519     BLOB    NOT NULL UNIQUE CHECK (length(ed25519) = 32),
    curve       BLOB    NOT NULL UNIQUE CHECK (length(curve) = 32),
    entry       TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('active', 'paused', 'revoked')),
    admitted_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE operator_flag (
    operator   TEXT    NOT NULL PRIMARY KEY,
    reason     TEXT    NOT NULL,
    flagged_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE base (
    manifest    BLOB    NOT NULL PRIMARY KEY CHECK (length(manifest) = 32),
    tar         BLOB    NOT NULL CHECK (length(tar) = 32),
    tar_size    INTEGER NOT NULL,
    name        TEXT    NOT NULL UNIQUE,
    imported_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A package tree at one commit; 'pack' names the object that holds it.
CREATE TABLE tree (
    commit_id   TEXT NOT NULL,
    tree_sha256 BLOB NOT NULL CHECK (length(tree_sha256) = 32),
    url         TEXT NOT NULL,
    pack        BLOB NOT NULL CHECK (length(pack) = 32),
    PRIMARY KEY (commit_id, tree_sha256)
) STRICT, WITHOUT ROWID;

-- 'pin' is an archive's SHA-256 or a git tree's SHA-256 digest; 'object' is where the bytes are (archives: the same).
CREATE TABLE source (
    pin       BLOB    NOT NULL CHECK (length(pin) = 32),
    commit_id TEXT    NOT NULL,  -- '' for archives
    object    BLOB    NOT NULL CHECK (length(object) = 32),
    size      INTEGER NOT NULL,
    origin    TEXT    NOT NULL,  -- what brought it; information only
    added_ms  INTEGER NOT NULL,
    PRIMARY KEY (pin, commit_id)
) STRICT, WITHOUT ROWID;

-- The plan's text is the object named by its id.
CREATE TABLE plan (
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    commit_id    TEXT    NOT NULL,
    tree_sha256  BLOB    NOT NULL,
    base         BLOB    NOT NULL REFERENCES base (manifest),
    state        TEXT    NOT NULL CHECK (state IN ('planned', 'running', 'done', 'failed', 'cancelled')),
    from_scratch INTEGER NOT NULL DEFAULT 0,
    created_ms   INTEGER NOT NULL,
    started_ms   INTEGER,
    finished_ms  INTEGER,
    FOREIGN KEY (commit_id, tree_sha256) REFERENCES tree (commit_id, tree_sha256)
) STRICT, WITHOUT ROWID;

-- The spec's text is the object named by the key.
CREATE TABLE job (
    key      BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    node     TEXT NOT NULL,
    keyed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX job_by_node ON job (node);

CREATE TABLE lease (
    nonce       BLOB    NOT NULL PRIMARY KEY CHECK (length(nonce) = 32),
    job         BLOB    NOT NULL REFERENCES job (key),
    round       INTEGER NOT NULL CHECK (round >= 1),
    worker      TEXT    NOT NULL REFERENCES worker (name),
    operator    TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('live', 'answered', 'refused', 'expired', 'withdrawn')),
    granted_ms  INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    ended_ms    INTEGER,
    reason      TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_by_job ON lease (job, round);

-- Every genuine answer ever received, unique by its bytes; never updated, never deleted.
CREATE TABLE attestation (
    digest      BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    nonce       BLOB    NOT NULL REFERENCES lease (nonce),
    failure     TEXT    NOT NULL,           -- 'none', 'build', 'assertion', ...
    payload     BLOB    CHECK (payload IS NULL OR length(payload) = 32),
    tar         BLOB    CHECK (tar IS NULL OR length(tar) = 32),
    log         BLOB    NOT NULL CHECK (length(log) = 32),
    fate        TEXT    NOT NULL,
    duration_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    envelope    BLOB    NOT NULL
) STRICT;
CREATE INDEX attestation_by_nonce ON attestation (nonce);

-- One vote per operator, job and round: the database itself counts people, not signatures.
CREATE TABLE vote (
    job         BLOB    NOT NULL,
    round       INTEGER NOT NULL,
    operator    TEXT    NOT NULL,
    attestation BLOB    NOT NULL REFERENCES attestation (digest),
    open        INTEGER NOT NULL CHECK (open IN (0, 1)),
    PRIMARY KEY (job, round, operator)
) STRICT, WITHOUT ROWID;

CREATE TABLE verdict (
    job        BLOB    NOT NULL,
    round      INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'agreed', 'disputed', 'failed')),
    payload    BLOB    CHECK (payload IS NULL OR length(payload) = 32),
    operators  INTEGER NOT NULL,
    dissent    INTEGER NOT NULL,
    decided_ms INTEGER NOT NULL,
    PRIMARY KEY (job, round)
) STRICT, WITHOUT ROWID;

-- What happened, in order, written in the same transaction as what it records. Becomes the transparency log.
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    body     TEXT    NOT NULL
) STRICT;

CREATE TABLE release (
    name       TEXT    NOT NULL PRIMARY KEY,
    sequence   INTEGER NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),  -- of release.json, which is the object of that name
    plan       BLOB    NOT NULL REFERENCES plan (id),
    state      TEXT    NOT NULL CHECK (state IN ('draft', 'signed')),
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Drafts may compete for a place in the chain; one of them is signed into it.
CREATE UNIQUE INDEX release_chain ON release (sequence) WHERE state = 'signed';

CREATE TABLE release_signature (
    release   TEXT NOT NULL REFERENCES release (name),
    signer    TEXT NOT NULL,   -- SHA-256 of the public key, hex
    signature TEXT NOT NULL,   -- armored SSHSIG
    PRIMARY KEY (release, signer)
) STRICT, WITHOUT ROWID;

-- Objects that must stay: what a plan, a result, a base, a source or a release names.
CREATE TABLE reference (
    object BLOB NOT NULL CHECK (length(object) = 32),
    holder TEXT NOT NULL,      -- 'plan:<hex>', 'attestation:<hex>', 'release:<name>', ...
    PRIMARY KEY (object, holder)
) STRICT, WITHOUT ROWID;
