-- name: insert_bodies
-- Keep what was sent: one chunk per workspace and flush.
insert into event_body (chunk, received_at, workspace, events, content)
select chunk, $1, workspace, events, content
from unnest($2::bigint[], $3::int[], $4::int[], $5::bytea[]) as b (chunk, workspace, events, content);

-- name: read_bodies
-- What was sent in some chunks of a workspace.
select chunk, content from event_body where workspace = $1 and chunk = any($2::bigint[]);

-- name: chunks_before
-- The newest chunks of a workspace below a number.
select chunk, events from event_body where workspace = $1 and chunk < $2 order by chunk desc limit $3;

-- name: chunks_after
-- The oldest chunks of a workspace above a number, up to another.
select chunk, events from event_body where workspace = $1 and chunk > $2 and chunk <= $3 order by chunk limit $4;

-- name: make_partition
-- A day's partition, ahead of its time.
select event_body_partition($1::date);

-- name: wait_briefly
-- A partition is made under a lock that a dump's holds up, and readers queue behind whoever waits for it. What is due in
-- every minute can wait for the next one.
set local lock_timeout = '200ms';
