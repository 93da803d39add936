-- name: insert_job
-- A new job.
insert into job (workspace, wire_id, kind, status, parameters, moment, created_at, updated_at)
values ($1, $2, $3, $4, $5::jsonb, $6, $7, $7) returning key;

-- name: insert_entries
-- What a job is about, in order.
insert into job_entry (job, number, workspace, entity, status, created_at)
select $1, number, $2, entity, 'PENDING', $3 from unnest($4::text[]) with ordinality as e (entity, number);

-- name: find_job
-- A job by its wire id, with how many of its entries are in which state.
select j.*, c.* from job j cross join lateral (
    select count(*) filter (where e.status = 'PENDING') as pending,
        count(*) filter (where e.status = 'COMPLETED') as completed,
        count(*) filter (where e.status = 'FAILED') as failed,
        count(*) filter (where e.status = 'CANCELLED') as cancelled
    from job_entry e where e.job = j.key) c
where j.workspace = $1 and j.wire_id = $2;

-- name: lock_job
-- Keep other changes of a job waiting.
select key from job where workspace = $1 and wire_id = $2 for update;

-- name: list_jobs
-- The newest jobs before a key.
select key, wire_id, kind, status, updated_at
from job where workspace = $1 and ($2::bigint is null or key < $2) order by key desc limit $3;

-- name: list_entries
-- Entries of a job after a number.
select number, entity, status, reason, created_at from job_entry
where workspace = $1 and job = $2 and number > $3::bigint order by number limit $4;

-- name: list_open
-- Jobs of all workspaces that the worker has to do, the oldest first.
select j.workspace, j.wire_id from job j where j.status in ('PENDING', 'IN_PROGRESS') order by j.key limit $1;

-- name: set_status
-- Move a job from a state to another; nothing where it has moved on.
update job set status = $4::text, moment = coalesce($5::timestamptz, moment), updated_at = $6::timestamptz,
    settled_at = case when $4::text in ('COMPLETED', 'FAILED', 'CANCELLED') then $6::timestamptz end
where workspace = $1 and key = $2 and status = $3::text returning key;

-- name: take_entry
-- The next entry to do, held until the transaction ends; those that another worker holds are left to it.
select number, entity from job_entry where workspace = $1 and job = $2 and status = 'PENDING'
order by number limit 1 for update skip locked;

-- name: pending_entities
-- What a job has yet to do.
select entity from job_entry where workspace = $1 and job = $2 and status = 'PENDING' order by number;

-- name: settle_entries
-- Entries end in states, with reasons; those that have ended stay as they are.
update job_entry e set status = n.status, reason = n.reason, settled_at = $3
from unnest($4::text[], $5::text[], $6::text[]) as n (entity, status, reason)
where e.workspace = $1 and e.job = $2 and e.entity = n.entity and e.status = 'PENDING';
