-- name: open_record
-- Take a key, waiting for whoever has it in hand; nothing where it is taken and not yet past its time.
insert into idempotency (workspace, operation, account, key_hash, request, recorded_at) values ($1, $2, $3, $4, $5, $6)
on conflict (workspace, operation, account, key_hash) do update
set request = excluded.request, recorded_at = excluded.recorded_at, status = null, media_type = null, answer = null
where idempotency.recorded_at <= $7
returning true;

-- name: record_in_force
-- Whether a key is taken and not past its time.
select exists (
    select from idempotency
    where workspace = $1 and operation = $2 and account = $3 and key_hash = $4 and recorded_at > $5);

-- name: find_record
-- What a key was used for, and what was answered.
select request, status, media_type, answer from idempotency
where workspace = $1 and operation = $2 and account = $3 and key_hash = $4;

-- name: close_record
-- Add the answer.
update idempotency set status = $5, media_type = $6, answer = $7
where workspace = $1 and operation = $2 and account = $3 and key_hash = $4;

-- name: drop_record
-- Give back a key under which nothing was done.
delete from idempotency where workspace = $1 and operation = $2 and account = $3 and key_hash = $4;

-- name: purge_records
-- Remove records that are past their time.
delete from idempotency where ctid in (select ctid from idempotency where recorded_at <= $1 limit $2);
