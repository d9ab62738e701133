-- SPDX-License-Identifier: GPL-3.0-or-later
-- Version 3: plans that ended long ago can be dropped, with what was built for them alone (keep_finished).

-- When it was; its rows, answers and log entries stay. Asked for again, it is planned and built again.
ALTER TABLE plan ADD COLUMN dropped_ms INTEGER;

-- What one plan names, without reading what everything else names.
CREATE INDEX reference_of_plan ON reference (holder) WHERE holder >= 'plan:' AND holder < 'plan;';
