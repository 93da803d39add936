-- name: insert_settings
-- Keep settings of a customer, an account or the workspace with their first values; those that exist are left out.
with made as (
    insert into setting (workspace, namespace, setting_id, entity_type, entity_id, name, value, data_type)
    select $1, namespace, id, $2, $3, name, value, data_type
    from unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) as s (namespace, id, name, value, data_type)
    on conflict (workspace, namespace, setting_id, entity_type, entity_id) do nothing
    returning key, value, data_type
)
insert into setting_version (setting, workspace, catalog_version, value, data_type, recorded_at)
select m.key, $1, w.version, m.value, m.data_type, $9 from made m join workspace w on w.key = $1 returning setting;

-- name: settings_of
-- The settings of customers or accounts.
select entity_id, namespace, setting_id, name, value, data_type from setting
where workspace = $1 and entity_type = $2 and entity_id = any($3::text[]) order by key;

-- name: setting
-- One setting.
select * from setting
where workspace = $1 and namespace = $2 and setting_id = $3 and entity_type = $4 and entity_id = $5;

-- name: settings
-- Settings after a key, of an entity, a name or a namespace where these are asked for.
select * from setting
where workspace = $1 and key > $2 and ($3::text is null or entity_type = $3) and ($4::text is null or entity_id = $4)
    and ($5::text is null or setting_id = $5) and ($6::text is null or namespace = $6)
order by key limit $7;

-- name: update_setting
-- Change a setting.
update setting set name = $3, value = $4, data_type = $5 where workspace = $1 and key = $2;

-- name: insert_setting_version
-- The value of a setting from a version of the rules on.
insert into setting_version (setting, workspace, catalog_version, value, data_type, recorded_at)
values ($1, $2, $3, $4, $5, $6);

-- name: workspace_name
-- What a workspace is called.
select name from workspace where key = $1;

-- name: shared_values
-- Every value of settings of the workspace by name, and of settings that are named in full.
select s.entity_type, s.entity_id, s.namespace, s.setting_id, v.catalog_version, v.value, v.data_type
from unnest($2::text[], $3::text[]) as k (namespace, id)
join setting s on s.workspace = $1 and s.namespace = k.namespace and s.setting_id = k.id and s.entity_type = 'ORGANIZATION'
join setting_version v on v.setting = s.key
union
select s.entity_type, s.entity_id, s.namespace, s.setting_id, v.catalog_version, v.value, v.data_type
from unnest($4::text[], $5::text[], $6::text[], $7::text[]) as k (namespace, id, entity_type, entity_id)
join setting s on s.workspace = $1 and s.namespace = k.namespace and s.setting_id = k.id
    and s.entity_type = k.entity_type and s.entity_id = k.entity_id
join setting_version v on v.setting = s.key
order by catalog_version;

-- name: account_values
-- Every value that settings of some names have had for accounts and their customers.
select a.key as account, s.entity_type, s.namespace, s.setting_id, v.catalog_version, v.value, v.data_type
from account a join customer c on c.key = a.customer
cross join lateral (values ('ACCOUNT', a.togai_id), ('CUSTOMER', c.togai_id)) as e (type, id)
join setting s on s.workspace = $1 and s.entity_type = e.type and s.entity_id = e.id
    and s.namespace || '.' || s.setting_id = any($3::text[])
join setting_version v on v.setting = s.key
where a.workspace = $1 and a.key = any($2::bigint[])
order by v.catalog_version;

-- name: wrong_settings
-- Settings that do not say what their newest version says.
select s.workspace, s.namespace, s.setting_id, s.entity_type, s.entity_id from setting s
left join lateral (select value, data_type from setting_version v where v.setting = s.key
    order by catalog_version desc limit 1) newest on true
where newest.value is distinct from s.value or newest.data_type is distinct from s.data_type
order by s.key limit 20;

-- name: without_profile
-- Customers and accounts of which half is missing.
(select 'customer' as kind, c.workspace, c.togai_id from customer c
    where not exists (select from customer_profile p where p.customer = c.key) limit 20)
union all
(select 'account', a.workspace, a.togai_id from account a
    where not exists (select from account_profile p where p.account = a.key)
        or not exists (select from account_terms t where t.account = a.key) limit 20);
