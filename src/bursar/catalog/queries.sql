-- name: insert_schema
-- Add an event schema; nothing where the name is taken.
insert into event_schema (workspace, name, status, created_at, updated_at) values ($1, $2, 'DRAFT', $3, $3)
on conflict (workspace, name) do nothing returning key;

-- name: insert_schema_version
-- Add a version of an event schema.
insert into event_schema_version (workspace, event_schema, version, definition, catalog_version, created_at)
values ($1, $2, $3, $4::jsonb, $5, $6);

-- name: workspace_version
-- The version of a workspace's rules.
select version from workspace where key = $1;

-- name: schema
-- The newest version of an event schema, or the one that is asked for.
select s.key, s.name, s.status, s.created_at, s.updated_at, v.key as version_key, v.version, v.definition,
    v.created_at as made_at, (select max(n.version) from event_schema_version n where n.event_schema = s.key) as newest,
    f.wire_id as feature, d.attribute as feature_attribute
from event_schema s join event_schema_version v on v.event_schema = s.key
left join feature_schema d on d.event_schema = s.key left join feature f on f.key = d.feature
where s.workspace = $1 and s.name = $2 and ($3::int is null or v.version = $3) order by v.version desc limit 1;

-- name: schema_versions
-- All versions of an event schema, newest first.
select s.key, s.name, s.status, s.created_at, s.updated_at, v.key as version_key, v.version, v.definition,
    v.created_at as made_at, max(v.version) over () as newest,
    f.wire_id as feature, d.attribute as feature_attribute
from event_schema s join event_schema_version v on v.event_schema = s.key
left join feature_schema d on d.event_schema = s.key left join feature f on f.key = d.feature
where s.workspace = $1 and s.name = $2 order by v.version desc;

-- name: schema_at
-- The newest version of an event schema by key.
select s.key, s.name, s.status, s.created_at, s.updated_at, v.key as version_key, v.version, v.definition,
    v.created_at as made_at, v.version as newest,
    f.wire_id as feature, d.attribute as feature_attribute
from event_schema s join event_schema_version v on v.event_schema = s.key
left join feature_schema d on d.event_schema = s.key left join feature f on f.key = d.feature
where s.workspace = $1 and s.key = $2 order by v.version desc limit 1;

-- name: schemas
-- Event schemas after a key, each in its newest version, with the number of its meters; archived ones if asked for.
select s.key, s.name, s.status, s.created_at, s.updated_at, v.key as version_key, v.version, v.definition,
    v.created_at as made_at, v.version as newest,
    f.wire_id as feature, d.attribute as feature_attribute,
    (select count(*) from usage_meter m where m.event_schema = s.key and m.status <> 'ARCHIVED')::int as meters
from event_schema s
join lateral (select * from event_schema_version v where v.event_schema = s.key order by version desc limit 1) v on true
left join feature_schema d on d.event_schema = s.key left join feature f on f.key = d.feature
where s.workspace = $1 and s.key > $2 and ($3::text is null and s.status <> 'ARCHIVED' or s.status = $3)
order by s.key limit $4;

-- name: touch_schema
-- Note that an event schema has a new version.
update event_schema set updated_at = $2 where key = $1;

-- name: meters_of_schema
-- The usage meters of an event schema that are not archived, each in its newest version.
select m.wire_id, m.name, m.status, v.definition
from usage_meter m
join lateral (select * from usage_meter_version v where v.usage_meter = m.key order by version desc limit 1) v on true
where m.workspace = $1 and m.event_schema = $2 and m.status <> 'ARCHIVED' order by m.key;

-- name: set_schema_status
-- Move an event schema through its life.
update event_schema set status = $2, updated_at = $3 where key = $1;

-- name: insert_meter
-- Add a usage meter; nothing where the name is taken.
insert into usage_meter (workspace, wire_id, name, event_schema, status, created_at, updated_at)
values ($1, $2, $3, $4, 'DRAFT', $5, $5)
on conflict (workspace, name) where status <> 'ARCHIVED' do nothing returning key;

-- name: insert_meter_version
-- Add a version of a usage meter, in force from a version of the rules on; null: not yet.
insert into usage_meter_version (workspace, usage_meter, version, definition, active_from, created_at)
values ($1, $2, $3, $4::jsonb, $5, $6);

-- name: meter
-- A usage meter in its newest version.
select m.*, v.key as version_key, v.version, v.definition, v.active_from
from usage_meter m join usage_meter_version v on v.usage_meter = m.key
where m.workspace = $1 and m.wire_id = $2 order by v.version desc limit 1;

-- name: meters
-- Usage meters after a key, each in its newest version.
select m.*, v.key as version_key, v.version, v.definition, v.active_from
from usage_meter m
join lateral (select * from usage_meter_version v where v.usage_meter = m.key order by version desc limit 1) v on true
where m.workspace = $1 and m.key > $2 and ($3::text[] is null and m.status <> 'ARCHIVED' or m.status = any($3))
    and ($4::text[] is null or v.definition ->> 'aggregation' = any($4))
order by m.key limit $5;

-- name: activate_meter
-- Put a usage meter in force.
update usage_meter set status = 'ACTIVE', last_activated_at = $2, updated_at = $2 where key = $1;

-- name: start_meter_version
-- From which version of the rules on a meter version measures.
update usage_meter_version set active_from = $2 where key = $1;

-- name: end_meter_version
-- From which version of the rules on the version in force measures no more.
update usage_meter_version set active_until = $2
where usage_meter = $1 and active_from is not null and active_until is null;

-- name: set_meter_status
-- Move a usage meter through its life.
update usage_meter set status = $2, updated_at = $3 where key = $1;

-- name: change_meter
-- Give a usage meter a name and an event schema; nothing where another has the name.
update usage_meter m set name = $3, event_schema = $4, updated_at = $5
where m.key = $2 and not exists (select from usage_meter o
    where o.workspace = $1 and o.name = $3 and o.status <> 'ARCHIVED' and o.key <> $2)
returning m.key;

-- name: plan_with_meter
-- A price plan in use whose newest version has a rate card of a usage meter.
select p.wire_id from price_plan p
join lateral (select * from price_plan_version v where v.price_plan = p.key order by version desc limit 1) v on true
where p.workspace = $1 and p.status <> 'ARCHIVED'
    and v.details -> 'usage' @> jsonb_build_array(jsonb_build_object('meter', $2::int))
order by p.key limit 1;

-- name: active_schemas
-- What admission checks events against.
select s.key, s.name, v.key as version_key, v.definition
from event_schema s
join lateral (select * from event_schema_version v where v.event_schema = s.key order by version desc limit 1) v on true
where s.workspace = $1 and s.status = 'ACTIVE';

-- name: named_licenses
-- The add-ons in use that are counted by names.
select wire_id, key from add_on where workspace = $1 and type = 'NAMED_LICENSE' and status = 'ACTIVE';

-- name: meter_history
-- Every meter version that ever was in force.
select m.key, m.wire_id, m.name, s.name as schema_name, v.key as version_key, v.version, v.definition, v.active_from,
    v.active_until
from usage_meter_version v join usage_meter m on m.key = v.usage_meter join event_schema s on s.key = m.event_schema
where v.workspace = $1 and v.active_from is not null order by v.key;

-- name: meter_keys
-- Usage meters by wire id.
select wire_id, key from usage_meter where workspace = $1 and wire_id = any($2::text[]);

-- name: meters_called
-- The keys of usage meters by wire id or, of those that are not archived, by name.
select key from usage_meter
where workspace = $1 and (wire_id = any($2::text[]) or name = any($2::text[]) and status <> 'ARCHIVED') order by key;

-- name: use_meters
-- Usage meters by wire id that are not archived, and are kept from it until the transaction ends.
select wire_id, key from usage_meter
where workspace = $1 and wire_id = any($2::text[]) and status <> 'ARCHIVED' order by key for share;

-- name: lock_meter
-- Wait for plans that are about to use a usage meter, and keep others waiting.
select key from usage_meter where key = $1 for update;

-- name: meters_by_key
-- Usage meters by key.
select key, wire_id, name from usage_meter where workspace = $1 and key = any($2::int[]);

-- name: currencies
-- Which of some currencies the workspace has.
select code from currency where workspace = $1 and code = any($2::text[]);

-- name: plan_name_taken
-- Whether a price plan that is not archived has a name.
select exists (select from price_plan where workspace = $1 and name = $2 and status <> 'ARCHIVED');

-- name: insert_plan
-- Add a price plan; nothing where the name is taken.
insert into price_plan (workspace, wire_id, name, type, description, status, created_at, updated_at)
values ($1, $2, $3, $4, $5, 'DRAFT', $6, $6)
on conflict (workspace, name) where status <> 'ARCHIVED' do nothing returning key;

-- name: insert_plan_version
-- Add a version of a price plan.
insert into price_plan_version (workspace, price_plan, wire_id, version, revision, details, created_at)
values ($1, $2, $3, $4, $5, $6::jsonb, $7) returning key;

-- name: insert_plan_override
-- What a plan version says for a single association.
insert into price_plan_version (workspace, price_plan, wire_id, version, revision, details, created_at, override_of, override)
values ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9::jsonb) returning key;

-- name: lock_plan
-- Keep other changes of a price plan waiting.
select key from price_plan where workspace = $1 and wire_id = $2 for update;

-- name: plan
-- The newest version of a price plan, or the one that is asked for.
select p.*, v.key as version_key, v.wire_id as version_wire_id, v.version, v.revision, v.details, v.override,
    array(select c.currency from price_plan_currency c where c.price_plan_version = coalesce(v.override_of, v.key)
        order by c.currency) as active
from price_plan p join price_plan_version v on v.price_plan = p.key
where p.workspace = $1 and p.wire_id = $2 and ($3::int is null or v.version = $3) and v.override_of is null
order by v.version desc, v.revision desc limit 1;

-- name: plan_versions
-- Versions of price plans by key.
select p.*, v.key as version_key, v.wire_id as version_wire_id, v.version, v.revision, v.details, v.override,
    array(select c.currency from price_plan_currency c where c.price_plan_version = coalesce(v.override_of, v.key)
        order by c.currency) as active
from price_plan p join price_plan_version v on v.price_plan = p.key
where p.workspace = $1 and v.key = any($2::bigint[]);

-- name: plans
-- Price plans after a key, each in its newest version.
select p.*, v.key as version_key, v.wire_id as version_wire_id, v.version, v.revision, v.details, v.override,
    array(select c.currency from price_plan_currency c where c.price_plan_version = coalesce(v.override_of, v.key)
        order by c.currency) as active
from price_plan p
join lateral (
    select * from price_plan_version v where v.price_plan = p.key and v.override_of is null
    order by version desc, revision desc limit 1
) v on true
where p.workspace = $1 and p.key > $2 and p.status <> 'ARCHIVED' order by p.key limit $3;

-- name: activate_currencies
-- Put currencies of a plan version in force.
insert into price_plan_currency (price_plan_version, workspace, currency, activated_at)
select $1, $2, currency, $3 from unnest($4::text[]) as c (currency) on conflict do nothing;

-- name: activate_plan
-- Put a price plan in force.
update price_plan set status = 'ACTIVE', updated_at = $2 where key = $1;

-- name: judging_schemas
-- Versions of event schemas by key, or all of them.
select v.key, s.name, v.version, v.definition
from event_schema_version v join event_schema s on s.key = v.event_schema
where v.workspace = $1 and ($2::int[] is null or v.key = any($2));

-- name: hold_plan
-- Keep a price plan as it is until the transaction ends.
select key from price_plan where workspace = $1 and wire_id = $2 for share;

-- name: describe_plan
-- Change what a price plan says of itself, and note that it changed.
update price_plan set description = coalesce($2, description), updated_at = $3 where key = $1;

-- name: archive_plan
-- Take a price plan out of use.
update price_plan set status = 'ARCHIVED', updated_at = $2 where key = $1;

-- name: schema_names
-- The names of event schemas by version key.
select v.key, s.name from event_schema_version v join event_schema s on s.key = v.event_schema where v.workspace = $1;
