-- name: next_customer_number
-- The next number of a workspace's customers, and whether it is the text of an id already.
select number, exists (select from customer where workspace = $1 and togai_id = number::text) as taken
from nextval($2::text::regclass) as n (number);

-- name: next_account_number
-- The next number of a workspace's accounts, and whether it is the text of an id already.
select number, exists (select from account where workspace = $1 and togai_id = number::text) as taken
from nextval($2::text::regclass) as n (number);

-- name: insert_customer
-- Add a customer; nothing where the id is taken.
with made as (
    insert into customer (workspace, togai_id, yeti_id, wire_id, status, created_at, updated_at)
    values ($1, $2, $3, $4, 'ACTIVE', $5, $5) on conflict (workspace, togai_id) do nothing returning key
)
insert into customer_profile (customer, workspace, name, primary_email, address, secret)
select key, $1, $6, $7, $8::jsonb, $9 from made returning customer;

-- name: customer
-- A customer by id.
select c.*, p.name, p.primary_email, p.address from customer c join customer_profile p on p.customer = c.key
where c.workspace = $1 and c.togai_id = $2;

-- name: lock_customer
-- Keep other changes of a customer waiting.
select key from customer where workspace = $1 and togai_id = $2 for no key update;

-- name: keep_customer
-- Keep a customer from being archived while an account is made for it; others may do the same.
select key, status from customer where workspace = $1 and togai_id = $2 for share;

-- name: customers
-- Customers that are not archived, after a key.
select c.*, p.name, p.primary_email, p.address from customer c join customer_profile p on p.customer = c.key
where c.workspace = $1 and c.key > $2 and c.status <> 'ARCHIVED' order by c.key limit $3;

-- name: update_customer
-- Change a customer's profile; null leaves a field as it is.
update customer_profile set name = coalesce($3, name), primary_email = coalesce($4, primary_email),
    address = coalesce($5::jsonb, address)
where workspace = $1 and customer = $2;

-- name: erase_customer
-- Forget who a customer is; nothing where that was done.
update customer_profile set name = $3, primary_email = '', address = '{}', description = null, phones = null, secret = null
where workspace = $1 and customer = $2 and secret is not null returning customer;

-- name: erase_accounts
-- Forget who a customer's accounts are for.
with erased as (
    update account set metadata = '{}', tags = '{}', updated_at = $3 where workspace = $1 and customer = $2 returning key
)
update account_profile set name = $4, primary_email = null, address = null, billing_information = null
where workspace = $1 and account in (select key from erased);

-- name: delete_contacts
-- Remove a customer's contacts.
delete from contact where workspace = $1 and customer = $2;

-- name: touch_customer
-- A customer was changed or archived.
update customer set updated_at = $3, status = $4 where workspace = $1 and key = $2;

-- name: insert_account
-- Add an account; nothing where the id is taken.
with made as (
    insert into account (workspace, customer, togai_id, yeti_id, wire_id, currency, net_term_days, status, metadata, tags,
        created_at, updated_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $11)
    on conflict (workspace, togai_id) do nothing returning key
), agreed as (
    insert into account_terms (account, workspace) select key, $1 from made
)
insert into account_profile (account, workspace, name, primary_email, address, billing_information)
select key, $1, $12, $13, $14::jsonb, $15::jsonb from made returning account;

-- name: account
-- An account by id.
select a.*, p.name, coalesce(p.primary_email, q.primary_email) as primary_email, coalesce(p.address, q.address) as address,
    p.billing_information, c.togai_id as customer_id, c.wire_id as customer_wire_id
from account a join account_profile p on p.account = a.key
join customer c on c.key = a.customer join customer_profile q on q.customer = a.customer
where a.workspace = $1 and a.togai_id = $2;

-- name: account_whole
-- An account by id, with its aliases, ended ones included, and its settings.
select a.*, p.name, coalesce(p.primary_email, q.primary_email) as primary_email, coalesce(p.address, q.address) as address,
    p.billing_information, c.togai_id as customer_id, c.wire_id as customer_wire_id,
    array(select row(n.key, n.wire_id, n.value, lower(n.effective), upper(n.effective), n.created_at, n.updated_at)
        from account_name n where n.workspace = $1 and n.account = a.key and n.kind = 'ALIAS' order by n.key) as aliases,
    array(select row(s.setting_id, s.value, s.namespace, s.name, s.data_type)
        from setting s where s.workspace = $1 and s.entity_type = 'ACCOUNT' and s.entity_id = $2 order by s.key) as settings
from account a join account_profile p on p.account = a.key
join customer c on c.key = a.customer join customer_profile q on q.customer = a.customer
where a.workspace = $1 and a.togai_id = $2;

-- name: account_at
-- An account by key.
select a.*, p.name, coalesce(p.primary_email, q.primary_email) as primary_email, coalesce(p.address, q.address) as address,
    p.billing_information, c.togai_id as customer_id, c.wire_id as customer_wire_id
from account a join account_profile p on p.account = a.key
join customer c on c.key = a.customer join customer_profile q on q.customer = a.customer
where a.workspace = $1 and a.key = $2;

-- name: lock_account
-- Keep other changes of an account waiting.
select key from account where workspace = $1 and togai_id = $2 for no key update;

-- name: accounts
-- Accounts that are not archived, after a key.
select a.*, p.name, coalesce(p.primary_email, q.primary_email) as primary_email, coalesce(p.address, q.address) as address,
    p.billing_information, c.togai_id as customer_id, c.wire_id as customer_wire_id
from account a join account_profile p on p.account = a.key
join customer c on c.key = a.customer join customer_profile q on q.customer = a.customer
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
update account set currency = coalesce($3, currency), net_term_days = coalesce($4, net_term_days),
    status = coalesce($5, status), metadata = coalesce($6::jsonb, metadata), tags = coalesce($7, tags), updated_at = $8
where workspace = $1 and key = $2;

-- name: update_account_profile
-- Change an account's personal fields; null leaves a field as it is.
update account_profile set name = coalesce($3, name), primary_email = coalesce($4, primary_email),
    address = coalesce($5::jsonb, address), billing_information = coalesce($6::jsonb, billing_information)
where workspace = $1 and account = $2;

-- name: currency
-- A currency of the workspace.
select exponent from currency where workspace = $1 and code = $2;

-- name: hold_names
-- Keep values from others until the transaction ends, in an order that cannot go round in a circle.
select pg_advisory_xact_lock(7215003, place)
from (select distinct hashtext($1::int || ' ' || value) as place from unnest($2::text[]) as v (value) order by 1) as p;

-- name: known_names
-- What values have led to; an alias without an account has no account here.
select n.value, n.account, a.togai_id, n.kind, lower(n.effective) as starts_at, upper(n.effective) as ends_at
from account_name n join account a on a.key = n.account
where n.workspace = $1 and n.value = any($2::text[])
union all
select value, null, null, 'ALIAS', null, null from alias where workspace = $1 and value = any($2::text[]);

-- name: insert_names
-- Let values lead to an account.
insert into account_name (workspace, value, account, kind, wire_id, effective, created_at, updated_at)
select $1, value, $2, $3, wire_id, tstzrange(starts_at, ends_at), $4, $4
from unnest($5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[]) as n (value, wire_id, starts_at, ends_at);

-- name: insert_aliases
-- Make values known as aliases; nothing where they are.
insert into alias (workspace, value, created_at)
select $1, value, $3 from unnest($2::text[]) with ordinality as v (value, place) order by place on conflict do nothing;

-- name: aliases_of
-- The aliases of accounts.
select key, account, wire_id, value, lower(effective) as starts_at, upper(effective) as ends_at, created_at, updated_at
from account_name where workspace = $1 and account = any($2::bigint[]) and kind = 'ALIAS' order by key;

-- name: end_name
-- End an alias at an instant.
update account_name set effective = tstzrange(lower(effective), $3), updated_at = $4 where workspace = $1 and key = $2;

-- name: remove_name
-- Remove an alias that was never in force.
delete from account_name where workspace = $1 and key = $2;

-- name: aliases
-- The alias values of a workspace, after a key.
select key, value, created_at from alias where workspace = $1 and key > $2 order by key limit $3;

-- name: alias_rows
-- Alias values that are known.
select key, value, created_at from alias where workspace = $1 and value = any($2::text[]);

-- name: remove_alias
-- Forget an alias value.
delete from alias where workspace = $1 and key = $2;

-- name: insert_contact
-- Add a contact of a customer.
insert into contact (workspace, yeti_id, customer, username, preferred_username, name, email, phone, password_hash, login_access,
    verified, created_by, created_at)
values ($1, nextval(format('yeti_object_%s', $1::int)::regclass), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (preferred_username) do nothing returning key;

-- name: delete_calendars
-- Take away accounts' calendars, to write them anew.
delete from account_calendar where workspace = $1 and account = any($2::bigint[]);

-- name: insert_calendars
-- How accounts' billing periods run.
insert into account_calendar (workspace, account, starts_at, ends_at, calendar, grace_days)
select $1, account, starts_at, ends_at, calendar::jsonb, grace_days
from unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::int[])
    as c (account, starts_at, ends_at, calendar, grace_days);

-- name: close_accounts
-- Close periods that are about to be invoiced; what is closed only grows.
update account a set closed_from = least(a.closed_from, c.starts_at), closed_until = greatest(a.closed_until, c.ends_at)
from (select account, min(starts_at) as starts_at, max(ends_at) as ends_at
    from unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[]) as p (account, starts_at, ends_at) group by account) c
where a.workspace = $1 and a.key = c.account;

-- name: has_calendar
-- Whether an account has or had a plan, or money in its wallet.
select exists (select from account_calendar where workspace = $1 and account = $2)
    or exists (select from account where workspace = $1 and key = $2 and has_money);

-- name: fix_currencies
-- Wallets are opened in these currencies, which their accounts keep from then on; nothing for another currency.
update account a set has_money = true
from unnest($2::bigint[], $3::text[]) as w (account, currency)
where a.workspace = $1 and a.key = w.account and a.currency = w.currency returning a.key;
