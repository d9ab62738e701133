-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a database of version 1 may hold. {a1} stands for 32 bytes a1, in hex.
--
-- Leases of one job. Birch's ran out and was answered late; the verdict was agreed before that, and again after. The last lease is
-- missing in the journal, on purpose: it stands where its time puts it.
BEGIN;
INSERT INTO worker VALUES
    ('alder-1', 'alder', x'{01}', x'{02}', '{}', 'active', 1),
    ('birch-1', 'birch', x'{03}', x'{04}', '{}', 'active', 1),
    ('cedar-1', 'cedar', x'{05}', x'{06}', '{}', 'active', 1);
INSERT INTO job VALUES (x'{1b}', 'extra/zlib', 1);
INSERT INTO lease VALUES
    (x'{a1}', x'{1b}', 1, 'alder-1', 'alder', 'answered', 1763820000500, 1, 1763820003000, ''),
    (x'{b1}', x'{1b}', 1, 'birch-1', 'birch', 'answered', 1763820000600, 1, 1763820009000, ''),
    (x'{c1}', x'{1b}', 1, 'cedar-1', 'cedar', 'answered', 1763820004000, 1, 1763820005000, ''),
    (x'{d1}', x'{1b}', 2, 'alder-1', 'alder', 'live', 1763820010000, 1, NULL, NULL);
INSERT INTO attestation VALUES
    (x'{ae}', x'{a1}', 'none', x'{99}', NULL, x'{77}', 'counted', 5, 1763820003000, x'7b7d'),
    (x'{ce}', x'{c1}', 'none', x'{99}', NULL, x'{77}', 'counted', 5, 1763820005000, x'7b7d'),
    (x'{be}', x'{b1}', 'none', x'{99}', NULL, x'{77}', 'open', 5, 1763820009000, x'7b7d');
INSERT INTO reference VALUES
    (x'{77}', 'attestation:{ae}'),
    (x'{77}', 'attestation:{be}'),
    (x'{1b}', 'plan:{44}');
INSERT INTO verdict VALUES (x'{1b}', 1, 'agreed', x'{99}', 2, 0, 1763820009000);
INSERT INTO journal (at_ms, kind, body) VALUES
    (1763820000000, 'root', '{55}'),
    (1763820000500, 'lease', '{"job":"{1b}","nonce":"{a1}","operator":"alder","round":1,"worker":"alder-1"}'),
    (1763820000600, 'lease', '{"job":"{1b}","nonce":"{b1}","operator":"birch","round":1,"worker":"birch-1"}'),
    (1763820003000, 'envelope', '{"nonce":"{a1}","sha256":"{ae}"}'),
    (1763820003000, 'lease-end', '{"nonce":"{a1}","reason":"","state":"answered"}'),
    (1763820003000, 'verdict', '{"job":"{1b}","payload":"{00}","round":1,"state":"pending"}'),
    (1763820003900, 'lease-end', '{"nonce":"{b1}","reason":"silent","state":"expired"}'),
    (1763820004000, 'lease', '{"job":"{1b}","nonce":"{c1}","operator":"cedar","round":1,"worker":"cedar-1"}'),
    (1763820005000, 'envelope', '{"nonce":"{c1}","sha256":"{ce}"}'),
    (1763820005000, 'lease-end', '{"nonce":"{c1}","reason":"","state":"answered"}'),
    (1763820005000, 'verdict', '{"job":"{1b}","payload":"{99}","round":1,"state":"agreed"}'),
    (1763820009000, 'envelope', '{"nonce":"{b1}","sha256":"{be}"}'),
    (1763820009000, 'verdict', '{"job":"{1b}","payload":"{99}","round":1,"state":"agreed"}'),
    (1763820009500, 'revoke', 'a worker''s name is no JSON');
COMMIT;
