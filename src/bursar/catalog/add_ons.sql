-- name: insert_add_on
-- Add an add-on; nothing where the name is taken.
insert into add_on (workspace, wire_id, name, type, billable_name, status, created_at, updated_at)
values ($1, $2, $3, $4, $5, 'ACTIVE', $6, $6)
on conflict (workspace, name) where status <> 'ARCHIVED' do nothing returning key;

-- name: add_on
-- An add-on by wire id.
select * from add_on where workspace = $1 and wire_id = $2;

-- name: add_ons
-- Add-ons after a key; the archived ones only where they are asked for.
select * from add_on
where workspace = $1 and key > $2 and status = coalesce($3::text, 'ACTIVE') order by key limit $4;

-- name: lock_add_on
-- Keep other changes of an add-on, and plans that would name it, waiting.
select key from add_on where workspace = $1 and wire_id = $2 for update;

-- name: use_add_ons
-- Add-ons by wire id, kept from being archived until the transaction ends.
select * from add_on where workspace = $1 and wire_id = any($2::text[]) order by key for share;

-- name: add_on_names
-- What invoices call add-ons, by key.
select key, coalesce(billable_name, name) as display_name from add_on
where workspace = $1 and key = any($2::bigint[]);

-- name: add_on_name_taken
-- Whether another add-on that is not archived has a name.
select exists (select from add_on where workspace = $1 and name = $2 and key <> $3 and status <> 'ARCHIVED');

-- name: update_add_on
-- Rename an add-on.
update add_on set name = $2, billable_name = $3, updated_at = $4 where key = $1;

-- name: archive_add_on
-- Take an add-on out of use.
update add_on set status = 'ARCHIVED', updated_at = $2 where key = $1;

-- name: plan_with_add_on
-- A price plan in use whose newest version charges for an add-on.
select p.wire_id from price_plan p
join lateral (
    select * from price_plan_version v where v.price_plan = p.key and v.override_of is null
    order by version desc, revision desc limit 1
) v on true
where p.workspace = $1 and p.status <> 'ARCHIVED'
    and (v.details -> 'fees' @> jsonb_build_array(jsonb_build_object('add_on', $2::bigint))
        or v.details -> 'licenses' @> jsonb_build_array(jsonb_build_object('add_on', $2::bigint))
        or v.details -> 'credits' @> jsonb_build_array(jsonb_build_object('add_on', $2::bigint)))
order by p.key limit 1;
