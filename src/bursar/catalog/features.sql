-- name: insert_feature
-- Add a feature; nothing where the name is taken.
insert into feature (workspace, wire_id, name, billable_name, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)
on conflict (workspace, name) do nothing returning key;

-- name: feature
-- A feature by wire id.
select * from feature where workspace = $1 and wire_id = $2;

-- name: features
-- Features after a key, each with the number of its event schemas.
select f.*, (select count(*) from feature_schema d where d.feature = f.key)::int as schemas
from feature f where f.workspace = $1 and f.key > $2 order by f.key limit $3;

-- name: features_at
-- Features by internal key.
select * from feature where workspace = $1 and key = any($2::int[]) order by key;

-- name: feature_keys
-- Internal keys of features by wire id.
select key, wire_id from feature where workspace = $1 and wire_id = any($2::text[]);

-- name: features_named
-- Features by wire id.
select * from feature where workspace = $1 and wire_id = any($2::text[]);

-- name: lock_feature
-- Keep other changes of a feature waiting.
select key from feature where workspace = $1 and wire_id = $2 for update;

-- name: feature_name_taken
-- Whether another feature has a name.
select exists (select from feature where workspace = $1 and name = $2 and key <> $3);

-- name: update_feature
-- Give a feature its names.
update feature set name = $2, billable_name = $3, updated_at = $4 where key = $1;

-- name: associations
-- The event schemas that draw a feature's units, in the order in which they were given.
select s.name as schema_name, d.attribute from feature_schema d join event_schema s on s.key = d.event_schema
where d.feature = $1 order by d.position;

-- name: schemas_to_associate
-- Event schemas by name, each in its newest version, with the feature whose units it draws now.
select s.key, s.name, s.status, v.definition, d.feature, f.wire_id as feature_id
from event_schema s
join lateral (select * from event_schema_version v where v.event_schema = s.key order by version desc limit 1) v on true
left join feature_schema d on d.event_schema = s.key left join feature f on f.key = d.feature
where s.workspace = $1 and s.name = any($2::text[]);

-- name: drop_associations
-- Take all event schemas from a feature.
delete from feature_schema where feature = $1;

-- name: insert_associations
-- Let events of schemas draw a feature's units.
insert into feature_schema (workspace, feature, event_schema, attribute, position)
select $1, $2, e.schema, e.attribute, e.position
from unnest($3::int[], $4::text[]) with ordinality as e (schema, attribute, position);
