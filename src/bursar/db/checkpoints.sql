-- name: log_written
-- How many records the log has had, with how many whole pages, and when the last finished checkpoint began.
select w.wal_records as records, w.wal_fpi as pages, c.checkpoint_time as checkpoint
from pg_stat_wal w cross join pg_control_checkpoint() c;

-- name: checkpoint
-- Write a checkpoint now.
checkpoint;
