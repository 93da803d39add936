-- name: forget_names
-- Drop what was kept of events.
delete from named_license_event where event = any($1::uuid[]);

-- name: insert_names
-- Keep what events say of names.
insert into named_license_event (workspace, event, account, add_on, name, change, occurred_at, received_at)
select workspace, event, account, add_on, name, change, occurred_at, $1
from unnest($2::int[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::smallint[], $8::timestamptz[])
    as n (workspace, event, account, add_on, name, change, occurred_at);

-- name: wrong_names
-- Names without an event of their account, and events of their schema that were let in and say nothing of a name.
select coalesce(n.event, e.id_hash) as event, coalesce(n.workspace, e.workspace) as workspace
from named_license_event n
full join (select k.* from event_key k join event_schema_version v on v.key = k.event_schema
    join event_schema s on s.key = v.event_schema where s.name = $1 and k.state in (1, 2, 3)) e on e.id_hash = n.event
left join event_key k on k.id_hash = n.event and k.state = 5
where (n.event is null or e.id_hash is null and k.id_hash is null)
    or e.id_hash is not null and (e.account, e.occurred_at, e.workspace) is distinct from (n.account, n.occurred_at, n.workspace)
limit 20;
