-- name: log_written
-- How many rows were added, how many records the log has had for that and the rest, with how many whole pages, and when the
-- last finished checkpoint began.
select d.tup_inserted as rows, w.wal_records as records, w.wal_fpi as pages, c.checkpoint_time as checkpoint
from pg_stat_wal w cross join pg_control_checkpoint() c cross join pg_stat_database d where d.datname = current_database();

-- name: checkpoint
-- Write a checkpoint now.
checkpoint;
