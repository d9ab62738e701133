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
CREATE INDEX refusal_by_nonce ON refusal (nonce);

-- Recorded answers that never count again, because who signed them is not believed any more.
CREATE TABLE voided (
    attestation BLOB    NOT NULL PRIMARY KEY REFERENCES attestation (digest),
    reason      TEXT    NOT NULL,
    voided_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Version 1 took the vote of an operator that reported a failure and then built it, or the other way round. It has one: its digest.
INSERT INTO vote (job, round, operator, attestation, open)
SELECT job, round, operator, digest, fate = 'open'
FROM (SELECT l.job, l.round, l.operator, a.digest, a.fate, min(a.rowid)
      FROM attestation a JOIN lease l ON l.nonce = a.nonce
      WHERE a.failure = 'none'
      GROUP BY l.job, l.round, l.operator HAVING count(DISTINCT a.payload) = 1)
WHERE true
ON CONFLICT (job, round, operator) DO NOTHING;

-- ---- what version 1 knows, as entries ----
--
-- Its journal has the order in which things happened. A row that the journal does not name (there should be none) stands where its
-- time puts it. Entries have exactly the bytes that logentry_write() gives: sorted keys, compact, whole seconds.

CREATE TEMP TABLE told AS
SELECT sequence, at_ms, kind, json_extract(body, '$.nonce') AS nonce, json_extract(body, '$.sha256') AS sha256,
       json_extract(body, '$.state') AS state, json_extract(body, '$.job') AS job,
       json_extract(body, '$.round') AS round, json_extract(body, '$.payload') AS payload
FROM (SELECT sequence, at_ms, kind, CASE WHEN json_valid(body) THEN body ELSE '{}' END AS body
      FROM journal WHERE kind IN ('lease', 'lease-end', 'envelope', 'verdict'));
CREATE INDEX temp.told_by_nonce ON told (kind, nonce);
CREATE INDEX temp.told_by_sha256 ON told (kind, sha256);
CREATE INDEX temp.told_by_job ON told (kind, job, round, sequence);
CREATE INDEX journal_by_time ON journal (at_ms, sequence);

-- 'place' is the number in the journal; what is not in it stands half a step behind the last one that is not later.
CREATE TEMP TABLE happened (
    place   REAL,
    at_ms   INTEGER NOT NULL,
    rank    INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    row_key BLOB    NOT NULL,
    entry   TEXT    NOT NULL
);

INSERT INTO happened (place, at_ms, rank, kind, row_key, entry)
SELECT (SELECT min(t.sequence) FROM told t WHERE t.kind = 'lease' AND t.nonce = lower(hex(l.nonce))),
       granted_ms, 0, 'lease', l.nonce,
       json_object('at', strftime('%Y-%m-%dT%H:%M:%SZ', granted_ms / 1000, 'unixepoch'), 'job', lower(hex(job)),
                   'kind', 'lease', 'nonce', lower(hex(nonce)), 'operator', operator, 'round', round,
                   'worker', worker)
FROM lease l;

INSERT INTO happened (place, at_ms, rank, kind, row_key, entry)
SELECT (SELECT min(t.sequence) FROM told t WHERE t.kind = 'envelope' AND t.sha256 = lower(hex(a.digest))),
       received_ms, 1, 'envelope', a.digest,
       json_object('at', strftime('%Y-%m-%dT%H:%M:%SZ', received_ms / 1000, 'unixepoch'), 'job', lower(hex(l.job)),
                   'kind', 'envelope', 'nonce', lower(hex(a.nonce)), 'sha256', lower(hex(digest)))
FROM attestation a JOIN lease l ON l.nonce = a.nonce;

-- A late answer made the lease's row say 'answered'; how the lease had ended stands in the journal alone.
INSERT INTO happened (place, at_ms, rank, kind, row_key, entry)
SELECT t.sequence, coalesce(t.at_ms, ended_ms, granted_ms), 2, 'lease-end', l.nonce,
       json_object('at', strftime('%Y-%m-%dT%H:%M:%SZ', coalesce(t.at_ms, ended_ms, granted_ms) / 1000, 'unixepoch'),
                   'kind', 'lease-end', 'nonce', lower(hex(l.nonce)), 'state', coalesce(t.state, l.state))
FROM lease l LEFT JOIN told t
     ON t.sequence = (SELECT min(e.sequence) FROM told e WHERE e.kind = 'lease-end' AND e.nonce = lower(hex(l.nonce))
                      AND e.state IN ('answered', 'refused', 'expired', 'withdrawn'))
WHERE l.state <> 'live';

-- Each change of a verdict. How many operators stood behind one that was replaced was not written down: 0.
INSERT INTO happened (place, at_ms, rank, kind, row_key, entry)
SELECT sequence, at_ms, 3, 'verdict', row_key,
       json_object('at', strftime('%Y-%m-%dT%H:%M:%SZ', at_ms / 1000, 'unixepoch'), 'dissent', dissent, 'job', job,
                   'kind', 'verdict', 'operators', operators,
                   'payload', CASE state WHEN 'agreed' THEN payload END, 'round', round, 'state', state)
FROM (SELECT t.sequence, t.at_ms, t.job, t.round, t.state, t.payload, v.job AS row_key,
             CASE WHEN v.newest = t.sequence THEN v.dissent ELSE 0 END AS dissent,
             CASE WHEN v.newest = t.sequence THEN v.operators ELSE 0 END AS operators
      FROM (SELECT *, (SELECT max(n.sequence) FROM told n WHERE n.kind = 'verdict' AND n.job = lower(hex(verdict.job))
                       AND n.round = verdict.round) AS newest FROM verdict) AS v
      JOIN told t ON t.kind = 'verdict' AND t.job = lower(hex(v.job)) AND t.round = v.round
      WHERE t.state IN ('pending', 'agreed', 'disputed', 'failed'));

INSERT INTO happened (place, at_ms, rank, kind, row_key, entry)
SELECT NULL, decided_ms, 3, 'verdict', job,
       json_object('at', strftime('%Y-%m-%dT%H:%M:%SZ', decided_ms / 1000, 'unixepoch'), 'dissent', dissent,
                   'job', lower(hex(job)), 'kind', 'verdict', 'operators', operators,
                   'payload', CASE state WHEN 'agreed' THEN lower(hex(payload)) END, 'round', round, 'state', state)
FROM verdict v
WHERE v.state IS NOT (SELECT t.state FROM told t WHERE t.kind = 'verdict' AND t.job = lower(hex(v.job)) AND t.round = v.round
                      ORDER BY t.sequence DESC LIMIT 1);

UPDATE happened
SET place = coalesce((SELECT j.sequence FROM journal j WHERE j.at_ms <= happened.at_ms
                      ORDER BY j.at_ms DESC, j.sequence DESC LIMIT 1), 0) + 0.5
WHERE place IS NULL;

CREATE TEMP TABLE numbered AS
SELECT row_number() OVER (ORDER BY place, at_ms, rank, row_key) - 1 AS position, kind, row_key, entry FROM happened;
CREATE INDEX temp.numbered_by_row ON numbered (kind, row_key);

INSERT INTO log_entry (position, entry) SELECT position, entry FROM numbered ORDER BY position;
UPDATE lease SET position = (SELECT n.position FROM numbered n WHERE n.kind = 'lease' AND n.row_key = lease.nonce);
UPDATE attestation
SET position = (SELECT n.position FROM numbered n WHERE n.kind = 'envelope' AND n.row_key = attestation.digest);

DROP TABLE temp.numbered;
DROP TABLE temp.happened;
DROP TABLE temp.told;
DROP TABLE journal;
