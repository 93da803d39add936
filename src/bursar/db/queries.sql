-- name: insert_audit
-- One line of the audit trail.
insert into audit (workspace, recorded_at, actor, action, kind, object, detail) values ($1, $2, $3, $4, $5, $6, $7::jsonb);

-- name: insert_audits
-- Many audit rows, in order.
insert into audit (workspace, recorded_at, actor, action, kind, object, detail)
select workspace, recorded_at, actor, action, kind, object, detail::jsonb
from unnest($1::int[], $2::timestamptz[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::text[], $7::text::text[])
    with ordinality as a (workspace, recorded_at, actor, action, kind, object, detail, place)
order by place;

-- name: audit_rows
-- How a statement begins that adds audit rows; a query follows that has these columns.
insert into audit (workspace, recorded_at, actor, action, kind, object, detail);

-- name: migration_version
-- The migration that the database stands at.
select version_num from alembic_version;

-- name: sealing_waits
-- Whether there are committed audit rows above the floor that are not sealed.
select exists (
    select from audit a, audit_sealer f
    where a.key > f.floor_key and not exists (select from audit_seal s where s.audit_key = a.key));

-- name: hash_at
-- The hash of one link.
select hash from audit_seal where workspace = $1 and number = $2;

-- name: lock_sealer
-- The sealer's turn, and whether every transaction from before the mark has ended. A restored database counts transactions anew: then the mark means nothing.
select floor_key, next_floor_key,
    pg_snapshot_xmin(pg_current_snapshot()) >= next_floor_at or next_floor_at > pg_snapshot_xmax(pg_current_snapshot()) as settled
from audit_sealer for update;

-- name: unsealed_rows
-- Committed audit rows above the floor that no link of a chain names, in the order of their keys.
select a.key, a.workspace, a.recorded_at, a.actor, a.action, a.kind, a.object, a.detail::text as detail
from audit a
where a.key > $1 and not exists (select from audit_seal s where s.audit_key = a.key)
order by a.key limit $2;

-- name: audit_heads
-- The last link of the chains of some workspaces, or of all.
select workspace, number, hash from audit_head where $1::int[] is null or workspace = any ($1) order by workspace;

-- name: insert_seals
-- New links.
insert into audit_seal (workspace, number, audit_key, hash)
select * from unnest($1::int[], $2::bigint[], $3::bigint[], $4::bytea[]);

-- name: save_heads
-- The new last links.
insert into audit_head (workspace, number, hash)
select * from unnest($1::int[], $2::bigint[], $3::bytea[])
on conflict (workspace) do update set number = excluded.number, hash = excluded.hash;

-- name: move_floor
-- The mark becomes the floor, and a new mark is set at the rows seen so far.
update audit_sealer
set floor_key = next_floor_key, next_floor_key = $1, next_floor_at = pg_snapshot_xmax(pg_current_snapshot());

-- name: links
-- The chain of a workspace with the rows that it seals, from a number on.
select s.number, s.audit_key, s.hash, coalesce(a.workspace, s.workspace) as workspace, a.recorded_at, a.actor, a.action, a.kind, a.object, a.detail::text as detail
from audit_seal s left join audit a on a.key = s.audit_key
where s.workspace = $1 and s.number > $2 order by s.number limit $3;

-- name: chained_workspaces
-- Every workspace that has links or a head.
select workspace from audit_seal group by workspace union select workspace from audit_head order by workspace;

-- name: list_audit
-- The trail of a workspace, newest first, with the seal of each row.
select a.key, a.recorded_at, a.actor, a.action, a.kind, a.object, a.detail::text as detail, s.number, s.hash
from audit a left join audit_seal s on s.audit_key = a.key
where a.workspace = $1 and ($2::bigint is null or a.key < $2)
    and ($3::text is null or a.actor = $3) and ($4::text is null or a.action = $4)
    and ($5::text is null or a.kind = $5) and ($6::text is null or a.object = $6)
    and ($7::timestamptz is null or a.recorded_at >= $7) and ($8::timestamptz is null or a.recorded_at < $8)
order by a.key desc limit $9;

-- name: count_listed
-- How many rows a list has in all; its statement is put in by the builder of lists.
select count(*) from ({listing}) as listed;

-- name: page_totalled
-- A page of a list with how many rows the list has in all, where that is known without looking at them.
select listed.*, ({total}) as _total from ({page}) as listed;

-- name: page_counted
-- A page of a list with how many rows the list has in all, null where the page is not full and tells it itself.
with listed as materialized ({page})
select listed.*, case when (select count(*) from listed) < {size} then null else ({count}) end as _total from listed;
