-- name: close_gate
-- Wait until no flush is inside, and let none in until the transaction ends.
select pg_advisory_xact_lock(7215002, $1);

-- name: enter_gates
-- Pass in common with other flushes; waits while a change is being made.
select pg_advisory_xact_lock_shared(7215002, workspace) from unnest($1::int[]) with ordinality as w (workspace, place) order by place;

-- name: enter_gate
-- Pass one in common with other flushes.
select pg_advisory_xact_lock_shared(7215002, $1);

-- name: raise_version
-- The next versions of a workspace's rules; the last of them comes back.
update workspace set version = version + $2 where key = $1 returning version;

-- name: insert_changes
-- What each of the versions after one changed.
insert into change_log (workspace, version, kind, object, name)
select $1, $2 + place, $3, object, name
from unnest($4::bigint[], $5::text[]) with ordinality as c (object, name, place);
