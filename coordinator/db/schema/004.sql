-- SPDX-License-Identifier: GPL-3.0-or-later
-- Version 4: the verdict's row says when its round was settled first. An answer behind that is open.

-- The size of the log with the first entry that shows the round agreed or failed; 0: none does.
ALTER TABLE verdict ADD COLUMN settled_size INTEGER NOT NULL DEFAULT 0;

CREATE TEMP TABLE settled AS
SELECT json_extract(entry, '$.job') AS job, json_extract(entry, '$.round') AS round, min(position) + 1 AS size
FROM log_entry
WHERE json_extract(entry, '$.kind') = 'verdict' AND json_extract(entry, '$.state') IN ('agreed', 'failed')
GROUP BY job, round;
CREATE INDEX temp.settled_by_job ON settled (job, round);

UPDATE verdict
SET settled_size = coalesce((SELECT s.size FROM settled s WHERE s.job = lower(hex(verdict.job)) AND s.round = verdict.round), 0);

DROP TABLE temp.settled;
