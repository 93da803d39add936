-- name: list_service_types
-- Types of services that are not deleted.
select y.yeti_id as id, y.name, y.force_renew, y.provisioning_class, y.variables
from service_type y where y.workspace = $1 and y.hidden_at is null;

-- name: insert_service_type
-- Add a type of services; nothing where the name is taken.
insert into service_type (workspace, yeti_id, name, force_renew, provisioning_class, variables)
values ($1, nextval(format('yeti_object_%s', $1::int)::regclass), $2, $3, $4, $5::jsonb)
on conflict (workspace, name) where hidden_at is null do nothing returning yeti_id;

-- name: lock_service_type
-- A type of services by its number, no service being made of it meanwhile.
select * from service_type where workspace = $1 and yeti_id = $2 and hidden_at is null for no key update;

-- name: keep_service_type
-- A type of services by its number, not changed or deleted while a service is made of it.
select * from service_type where workspace = $1 and yeti_id = $2 and hidden_at is null for share;

-- name: has_services
-- Whether there are services of a type, those of deleted accounts apart.
select exists (select from service s join account_terms t on t.account = s.account
    where s.workspace = $1 and s.service_type = $2 and t.hidden_at is null);

-- name: name_is_taken
-- Whether another type of services has a name.
select exists (select from service_type where workspace = $1 and name = $2 and key <> $3 and hidden_at is null);

-- name: update_service_type
-- Change a type of services.
update service_type set name = $3, force_renew = $4, provisioning_class = $5, variables = $6::jsonb
where workspace = $1 and key = $2;

-- name: hide_service_type
-- A type of services is deleted.
update service_type set hidden_at = $3 where workspace = $1 and key = $2;

-- name: find_charged
-- What a service or a charge needs to know of its account, by its number.
select a.key, a.status from account a join account_terms t on t.account = a.key
where a.workspace = $1 and a.yeti_id = $2 and t.hidden_at is null;

-- name: charged_accounts
-- Currencies and zones of accounts.
select a.key, a.currency, coalesce(a.timezone, w.timezone) as zone
from account a join workspace w on w.key = a.workspace
where a.workspace = $1 and a.key = any($2::bigint[]);

-- name: insert_service
-- A new service, renewed first at $9.
insert into service (workspace, yeti_id, account, service_type, name, variables, state, initial_price, renew_price,
    renew_period, renew_at, due_at, created_at)
values ($1, nextval(format('yeti_object_%s', $1::int)::regclass), $2, $3, $4, $5::jsonb, 'Active', $6, $7,
    $8, $9, $9, $10)
returning key, yeti_id;

-- name: list_services
-- Services as a carrier sees them, those of deleted accounts apart.
select s.yeti_id as id, s.name, s.variables, s.state, s.initial_price, s.renew_price, s.created_at, s.renew_at,
    coalesce(s.renew_period, 'Disabled') as renew_period, s.uuid, a.yeti_id as account_id, t.uuid as account_uuid,
    y.yeti_id as service_type_id, y.name as service_type_name
from service s join account a on a.key = s.account join account_terms t on t.account = s.account
join service_type y on y.key = s.service_type
where s.workspace = $1 and t.hidden_at is null;

-- name: lock_service
-- What of a service may be changed, and its class; other changes and renewals wait.
select s.key, s.name, s.renew_price, s.variables, y.provisioning_class from service s join service_type y on y.key = s.service_type
join account_terms t on t.account = s.account
where s.workspace = $1 and s.yeti_id = $2 and t.hidden_at is null for no key update of s;

-- name: update_service
-- Change a service.
update service set name = $3, renew_price = $4, variables = $5::jsonb where workspace = $1 and key = $2;

-- name: lock_due_services
-- The services that are to be renewed by $2, in order, held until the transaction ends, and the limits of their accounts.
select s.key, s.account, a.currency, s.renew_price, s.renew_period, s.variables, t.min_balance, t.max_balance, y.yeti_id as type_number,
    y.force_renew, y.provisioning_class, y.variables as type_variables
from service s join account a on a.key = s.account join account_terms t on t.account = s.account
join service_type y on y.key = s.service_type
where s.workspace = $1 and s.due_at <= $2 and a.status <> 'ARCHIVED' and t.hidden_at is null
order by s.due_at, s.key limit $3 for no key update of s for share of t;

-- name: renew_services
-- Services that were due go on until their next renewals.
update service s set state = 'Active', renew_at = n.renew_at, due_at = n.renew_at
from unnest($3::bigint[], $4::timestamptz[]) as n (service, renew_at)
where s.workspace = $1 and s.key = n.service and s.due_at <= $2;

-- name: suspend_services
-- Services that were due are suspended, and tried again at $4.
update service set state = 'Suspended', due_at = $4
where workspace = $1 and due_at <= $2 and key = any($3::bigint[]);

-- name: counters_of
-- The free minutes of services.
select key, service, prefix from package_counter where workspace = $1 and service = any($2::bigint[]);

-- name: delete_counters
-- Free minutes that services no longer give.
delete from package_counter where workspace = $1 and key = any($2::bigint[]);

-- name: reset_counters
-- Free minutes go on, unused.
update package_counter c set duration = n.duration, exclude = n.exclude
from unnest($2::bigint[], $3::int[], $4::boolean[]) as n (key, duration, exclude)
where c.workspace = $1 and c.key = n.key;

-- name: insert_counters
-- Free minutes that services give from now on.
insert into package_counter (workspace, yeti_id, account, service, prefix, duration, exclude)
select $1, nextval(format('yeti_object_%s', $1::int)::regclass), account, service, prefix, duration, exclude
from unnest($2::bigint[], $3::bigint[], $4::text[], $5::int[], $6::boolean[]) with ordinality
    as n (account, service, prefix, duration, exclude, place)
order by place;

-- name: find_service_of_charge
-- The service that a charge is for, by its number, and its type's.
select s.key, s.account, y.yeti_id as type_number
from service s join service_type y on y.key = s.service_type join account_terms t on t.account = s.account
where s.workspace = $1 and s.yeti_id = $2 and t.hidden_at is null;

-- name: insert_charges
-- Charges, their keys in the order given. None is dated before what is stated of its account, or a statement would miss it:
-- one that is being filled waits for charges under way, and they for it.
with held as materialized (
    select account, stated_until from account_terms
    where workspace = $1 and account = any($3::bigint[]) order by account for share
), wanted as materialized (
    select nextval('charge_key_seq') as key, nextval(format('yeti_object_%s', $1::int)::regclass) as number, n.*
    from unnest($3::bigint[], $4::bigint[], $5::numeric[], $6::text[]) with ordinality
        as n (account, service, amount, description, place)
), made as (
    insert into charge (key, workspace, yeti_id, account, service, amount, description, created_at)
    overriding system value
    select w.key, $1, w.number, w.account, w.service, w.amount, w.description, greatest($2, h.stated_until)
    from wanted w join held h on h.account = w.account
)
select key, number from wanted order by place;

-- name: list_charges
-- Charges as a carrier sees them, as transactions; those of deleted accounts apart.
select c.yeti_id as id, c.description, c.amount, c.created_at, c.uuid, a.yeti_id as account_id, t.uuid as account_uuid,
    s.yeti_id as service_id, s.uuid as service_uuid
from charge c join account a on a.key = c.account join account_terms t on t.account = c.account
left join service s on s.key = c.service
where c.workspace = $1 and t.hidden_at is null;

-- name: list_package_counters
-- Free minutes as a carrier sees them, those of deleted accounts apart.
select c.yeti_id as id, c.duration, c.exclude, c.prefix, a.yeti_id as account_id, s.yeti_id as service_id
from package_counter c join account a on a.key = c.account join account_terms t on t.account = c.account
join service s on s.key = c.service
where c.workspace = $1 and t.hidden_at is null;

-- name: charges_without_posting
-- Charges whose postings do not take exactly their amount from the wallet of their account.
select c.yeti_id, c.workspace, c.amount, p.amount as posted
from charge c left join lateral (
    select sum(p.amount) as amount from ledger_transaction t
    join posting p on p.transaction = t.key join ledger_account l on l.key = p.ledger_account
    where t.workspace = c.workspace and t.cause = 'charge' and t.cause_key = c.key
        and l.kind = 'wallet' and l.account = c.account
) p on true
where p.amount is distinct from c.amount
    or (select count(*) from ledger_transaction t
        where t.workspace = c.workspace and t.cause = 'charge' and t.cause_key = c.key) <> 1
order by c.key limit 20;

-- name: postings_without_charge
-- Movements that say they are a charge where there is none.
select t.key, t.workspace from ledger_transaction t
where t.cause = 'charge' and not exists (select from charge c where c.key = t.cause_key and c.workspace = t.workspace)
order by t.key limit 20;

-- name: stray_charges
-- Charges for services of other accounts.
select c.yeti_id, c.workspace from charge c join service s on s.key = c.service
where s.account <> c.account or s.workspace <> c.workspace order by c.key limit 20;

-- name: stray_counters
-- Free minutes of services that give none, or of another account than their service's.
select c.yeti_id, c.workspace from package_counter c join service s on s.key = c.service
join service_type y on y.key = s.service_type
where y.provisioning_class <> 'Billing::Provisioning::FreeMinutes' or c.account <> s.account or c.workspace <> s.workspace
order by c.key limit 20;
