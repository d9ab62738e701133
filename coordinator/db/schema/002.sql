-- SPDX-License-Identifier: GPL-3.0-or-later
-- Version 2: the journal becomes the transparency log.

-- One row per entry, from position 0 on without a gap; 'entry' is the leaf, byte for byte. Never updated, never deleted.
CREATE TABLE log_entry (
    position INTEGER NOT NULL PRIMARY KEY CHECK (position >= 0),
    entry    TEXT    NOT NULL
) STRICT;

-- Where the log shows a lease and an answer.
ALTER TABLE lease ADD COLUMN position INTEGER;
ALTER TABLE attestation ADD COLUMN position INTEGER;

-- Answers that broke a rule on arrival: no evidence, but kept, since the log shows that they came.
CREATE TABLE refusal (
    digest      BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    nonce       BLOB    NOT NULL REFERENCES lease (nonce),
    reason      TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    envelope    BLOB    NOT NULL
) STRICT;

-- Recorded answers that never count again, because who signed them is not believed any more.
CREATE TABLE voided (
    attestation BLOB    NOT NULL PRIMARY KEY REFERENCES attestation (digest),
    reason      TEXT    NOT NULL,
    voided_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

DROP TABLE journal;
