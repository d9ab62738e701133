-- SPDX-License-Identifier: GPL-3.0-or-later
-- Version 5: jobs, leases and answers are numbered in the order in which they came, and name each other by that. A digest is random:
-- each row and each index entry behind one is in another page of the file, and each such page is written for each answer.

ALTER TABLE job RENAME TO old_job;
ALTER TABLE lease RENAME TO old_lease;
ALTER TABLE attestation RENAME TO old_attestation;
ALTER TABLE refusal RENAME TO old_refusal;
ALTER TABLE voided RENAME TO old_voided;
ALTER TABLE vote RENAME TO old_vote;
ALTER TABLE verdict RENAME TO old_verdict;

-- The spec's text is the object named by the key.
CREATE TABLE job (
    number   INTEGER NOT NULL PRIMARY KEY,
    key      BLOB    NOT NULL UNIQUE CHECK (length(key) = 32),
    node     TEXT    NOT NULL,
    keyed_ms INTEGER NOT NULL
) STRICT;

-- 'position': of the log's entry that shows it, here and in the tables below.
CREATE TABLE lease (
    position    INTEGER NOT NULL PRIMARY KEY,
    nonce       BLOB    NOT NULL UNIQUE CHECK (length(nonce) = 32),
    job         INTEGER NOT NULL REFERENCES job (number),
    round       INTEGER NOT NULL CHECK (round >= 1),
    worker      TEXT    NOT NULL REFERENCES worker (name),
    operator    TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('live', 'answered', 'refused', 'expired', 'withdrawn')),
    granted_ms  INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    ended_ms    INTEGER,
    reason      TEXT
) STRICT;

-- Every genuine answer ever received, unique by its bytes; never updated, never deleted.
CREATE TABLE attestation (
    position    INTEGER NOT NULL PRIMARY KEY,
    digest      BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    lease       INTEGER NOT NULL REFERENCES lease (position),
    failure     TEXT    NOT NULL,           -- 'none', 'build', 'assertion', ...
    payload     BLOB    CHECK (payload IS NULL OR length(payload) = 32),
    tar         BLOB    CHECK (tar IS NULL OR length(tar) = 32),
    log         BLOB    NOT NULL CHECK (length(log) = 32),
    fate        TEXT    NOT NULL,
    duration_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    envelope    BLOB    NOT NULL
) STRICT;

-- Answers that broke a rule on arrival: no evidence, but kept, since the log shows that they came.
CREATE TABLE refusal (
    position    INTEGER NOT NULL PRIMARY KEY,
    digest      BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    lease       INTEGER NOT NULL REFERENCES lease (position),
    reason      TEXT    NOT NULL,
    received_ms INTEGER NOT NULL,
    envelope    BLOB    NOT NULL
) STRICT;

-- Recorded answers that never count again, because who signed them is not believed any more. Without a rowid, for which NULL would
-- become the next number.
CREATE TABLE voided (
    attestation INTEGER NOT NULL PRIMARY KEY REFERENCES attestation (position),
    reason      TEXT    NOT NULL,
    voided_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One vote per operator, job and round: the database itself counts people, not signatures.
CREATE TABLE vote (
    job         INTEGER NOT NULL REFERENCES job (number),
    round       INTEGER NOT NULL,
    operator    TEXT    NOT NULL,
    attestation INTEGER NOT NULL REFERENCES attestation (position),
    open        INTEGER NOT NULL CHECK (open IN (0, 1)),
    PRIMARY KEY (job, round, operator)
) STRICT, WITHOUT ROWID;

-- 'settled_size' as in version 4.
CREATE TABLE verdict (
    job          INTEGER NOT NULL REFERENCES job (number),
    round        INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'agreed', 'disputed', 'failed')),
    payload      BLOB    CHECK (payload IS NULL OR length(payload) = 32),
    operators    INTEGER NOT NULL,
    dissent      INTEGER NOT NULL,
    decided_ms   INTEGER NOT NULL,
    settled_size INTEGER NOT NULL,
    PRIMARY KEY (job, round)
) STRICT, WITHOUT ROWID;

-- Objects that must stay for an answer; those of plans, bases, sources and releases stay in table "reference".
CREATE TABLE output (
    object      BLOB    NOT NULL CHECK (length(object) = 32),
    attestation INTEGER NOT NULL REFERENCES attestation (position),
    PRIMARY KEY (object, attestation)
) STRICT, WITHOUT ROWID;

-- Jobs in the order of their first leases.
INSERT INTO job (key, node, keyed_ms)
SELECT key, node, keyed_ms FROM old_job ORDER BY keyed_ms, (SELECT min(position) FROM old_lease WHERE job = old_job.key), key;

INSERT INTO lease
SELECT l.position, nonce, j.number, round, worker, operator, state, granted_ms, deadline_ms, ended_ms, reason
FROM old_lease l JOIN job j ON j.key = l.job ORDER BY l.position;

INSERT INTO attestation
SELECT a.position, digest, l.position, failure, payload, tar, log, fate, duration_ms, received_ms, envelope
FROM old_attestation a JOIN lease l ON l.nonce = a.nonce ORDER BY a.position;

INSERT INTO refusal
SELECT r.position, digest, l.position, r.reason, received_ms, envelope
FROM old_refusal r JOIN lease l ON l.nonce = r.nonce ORDER BY r.position;

INSERT INTO voided
SELECT a.position, reason, voided_ms FROM old_voided v JOIN attestation a ON a.digest = v.attestation;

INSERT INTO vote
SELECT j.number, round, operator, a.position, open
FROM old_vote v JOIN job j ON j.key = v.job JOIN attestation a ON a.digest = v.attestation;

INSERT INTO verdict
SELECT j.number, round, state, payload, operators, dissent, decided_ms, settled_size
FROM old_verdict v JOIN job j ON j.key = v.job;

CREATE TEMP TABLE holder AS
SELECT 'attestation:' || lower(hex(digest)) AS name, position FROM attestation;
CREATE INDEX temp.holder_by_name ON holder (name);

INSERT INTO output
SELECT r.object, h.position FROM reference r JOIN temp.holder h ON h.name = r.holder ORDER BY r.object, h.position;

DELETE FROM reference WHERE holder >= 'attestation:' AND holder < 'attestation;';

DROP TABLE temp.holder;
DROP TABLE old_verdict;
DROP TABLE old_vote;
DROP TABLE old_voided;
DROP TABLE old_refusal;
DROP TABLE old_attestation;
DROP TABLE old_lease;
DROP TABLE old_job;

CREATE INDEX job_by_node ON job (node);
CREATE INDEX lease_by_job ON lease (job, round);
CREATE INDEX attestation_by_lease ON attestation (lease);
CREATE INDEX refusal_by_lease ON refusal (lease);
