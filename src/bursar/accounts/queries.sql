-- name: next_number
-- The next number of a sequence.
select nextval($1::text::regclass);

-- name: customer_id_taken
-- Whether a customer has this id.
select exists (select from customer where workspace = $1 and togai_id = $2);

-- name: account_id_taken
-- Whether an account has this id.
select exists (select from account where workspace = $1 and togai_id = $2);

-- name: insert_customer
-- Add a customer; nothing where the id is taken.
with made as (
    insert into customer (workspace, togai_id, yeti_id, wire_id, status, created_at, updated_at)
    values ($1, $2, $3, $4, 'ACTIVE', $5, $5) on conflict (workspace, togai_id) do nothing returning key
)
insert into customer_profile (customer, workspace, name, primary_email, address)
select key, $1, $6, $7, $8::jsonb from made returning customer;

-- name: customer
-- A customer by id.
select c.*, p.name, p.primary_email, p.address from customer c join customer_profile p on p.customer = c.key
where c.workspace = $1 and c.togai_id = $2;

-- name: lock_customer
-- Keep other changes of a customer waiting.
select key, status from customer where workspace = $1 and togai_id = $2 for update;

-- name: customers
-- Customers that are not archived, after a key.
select c.*, p.name, p.primary_email, p.address from customer c join customer_profile p on p.customer = c.key
where c.workspace = $1 and c.key > $2 and c.status <> 'ARCHIVED' order by c.key limit $3;

-- name: update_customer
-- Change a customer's profile; null leaves a field as it is.
update customer_profile set name = coalesce($2, name), primary_email = coalesce($3, primary_email),
    address = coalesce($4::jsonb, address)
where customer = $1;

-- name: touch_customer
-- A customer was changed or archived.
update customer set updated_at = $2, status = $3 where key = $1;

-- name: insert_account
-- Add an account; nothing where the id is taken.
with made as (
    insert into account (workspace, customer, togai_id, yeti_id, wire_id, currency, net_term_days, status, metadata, tags,
        created_at, updated_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $11)
    on conflict (workspace, togai_id) do nothing returning key
)
insert into account_profile (account, workspace, name, primary_email, address, billing_information)
select key, $1, $12, $13, $14::jsonb, $15::jsonb from made returning account;

-- name: account
-- An account by id.
select a.*, p.name, p.primary_email, p.address, p.billing_information, c.togai_id as customer_id,
    c.wire_id as customer_wire_id
from account a join account_profile p on p.account = a.key join customer c on c.key = a.customer
where a.workspace = $1 and a.togai_id = $2;

-- name: account_at
-- An account by key.
select a.*, p.name, p.primary_email, p.address, p.billing_information, c.togai_id as customer_id,
    c.wire_id as customer_wire_id
from account a join account_profile p on p.account = a.key join customer c on c.key = a.customer
where a.workspace = $1 and a.key = $2;

-- name: lock_account
-- Keep other changes of an account waiting.
select key from account where workspace = $1 and togai_id = $2 for update;

-- name: accounts
-- Accounts that are not archived, after a key.
select a.*, p.name, p.primary_email, p.address, p.billing_information, c.togai_id as customer_id,
    c.wire_id as customer_wire_id
from account a join account_profile p on p.account = a.key join customer c on c.key = a.customer
where a.workspace = $1 and a.key > $2 and a.status <> 'ARCHIVED' order by a.key limit $3;

-- name: accounts_of_customer
-- A customer's accounts that are not archived.
select togai_id from account where workspace = $1 and customer = $2 and status <> 'ARCHIVED' order by key;

-- name: account_keys
-- The keys of accounts by id.
select togai_id, key from account where workspace = $1 and togai_id = any($2::text[]);

-- name: account_keys_of_customers
-- The keys of all accounts of customers.
select a.key from account a join customer c on c.key = a.customer
where a.workspace = $1 and c.togai_id = any($2::text[]);

-- name: update_account
-- Change an account; null leaves a field as it is.
update account set currency = coalesce($2, currency), net_term_days = coalesce($3, net_term_days),
    status = coalesce($4, status), metadata = coalesce($5::jsonb, metadata), tags = coalesce($6, tags), updated_at = $7
where key = $1;

-- name: update_account_profile
-- Change an account's personal fields; null leaves a field as it is.
update account_profile set name = coalesce($2, name), primary_email = coalesce($3, primary_email),
    address = coalesce($4::jsonb, address), billing_information = coalesce($5::jsonb, billing_information)
where account = $1;

-- name: currency
-- A currency of the workspace.
select exponent from currency where workspace = $1 and code = $2;

-- name: names_of_value
-- Which accounts an alias value or id has led to.
select n.account, upper(n.effective) as ends_at, a.togai_id from account_name n join account a on a.key = n.account
where n.workspace = $1 and n.value = $2 order by n.key;

-- name: insert_name
-- Let a value lead to an account.
insert into account_name (workspace, value, account, kind, wire_id, effective, created_at, updated_at)
values ($1, $2, $3, $4, $5, tstzrange($6, $7), $8, $8);

-- name: insert_alias
-- Make a value known as an alias; nothing where it is.
insert into alias (workspace, value, created_at) values ($1, $2, $3) on conflict do nothing returning key;

-- name: aliases_of
-- The aliases of accounts.
select key, account, wire_id, value, lower(effective) as starts_at, upper(effective) as ends_at, created_at, updated_at
from account_name where workspace = $1 and account = any($2::bigint[]) and kind = 'ALIAS' order by key;

-- name: end_name
-- End an alias at an instant.
update account_name set effective = tstzrange(lower(effective), $2), updated_at = $3 where key = $1;

-- name: remove_name
-- Remove an alias that was never in force.
delete from account_name where key = $1;

-- name: aliases
-- The alias values of a workspace, after a key.
select key, value, created_at from alias where workspace = $1 and key > $2 order by key limit $3;

-- name: alias
-- One alias value.
select key, value, created_at from alias where workspace = $1 and value = $2;

-- name: remove_alias
-- Forget an alias value.
delete from alias where key = $1;

-- name: insert_settings
-- Keep settings of a customer or an account.
insert into setting (workspace, namespace, setting_id, entity_type, entity_id, name, value, data_type)
select $1, namespace, id, $2, $3, name, value, data_type
from unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) as s (namespace, id, name, value, data_type);

-- name: settings
-- The settings of customers or accounts.
select entity_id, namespace, setting_id, name, value, data_type from setting
where workspace = $1 and entity_type = $2 and entity_id = any($3::text[]) order by key;

-- name: insert_contact
-- Add a contact of a customer.
insert into contact (workspace, customer, username, preferred_username, name, email, phone, password_hash, login_access,
    verified, created_by, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (preferred_username) do nothing returning key;

-- name: delete_calendar
-- Take away an account's calendar, to write it anew.
delete from account_calendar where account = $1;

-- name: insert_calendar
-- How an account's billing periods run.
insert into account_calendar (workspace, account, starts_at, ends_at, calendar, grace_days)
select $1, $2, starts_at, ends_at, calendar::jsonb, grace_days
from unnest($3::timestamptz[], $4::timestamptz[], $5::text[], $6::int[]) as c (starts_at, ends_at, calendar, grace_days);

-- name: close_accounts
-- Close periods that are about to be invoiced; what is closed only grows.
update account a set closed_from = least(a.closed_from, c.starts_at), closed_until = greatest(a.closed_until, c.ends_at)
from (select account, min(starts_at) as starts_at, max(ends_at) as ends_at
    from unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[]) as p (account, starts_at, ends_at) group by account) c
where a.workspace = $1 and a.key = c.account;

-- name: has_calendar
-- Whether an account has or had a plan.
select exists (select from account_calendar where account = $1);
