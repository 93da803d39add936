-- name: hold_terms
-- Keep what must be unique at the carrier's door from others until the transaction ends.
select pg_advisory_xact_lock(7215004, place)
from (select distinct hashtext($1::int || ' ' || value) as place from unnest($2::text[]) as v (value) order by 1) as p;

-- name: facts_of_terms
-- What decides on an account that is made ($7 null) or changed: its contractor, who has its unique values, its currency.
select c.key as contractor, c.togai_id as customer_id, c.status = 'ARCHIVED' as archived,
    exists (select from account_profile p join account_terms t on t.account = p.account
        where p.workspace = $1 and p.name = $3 and t.hidden_at is null and p.account is distinct from $7) as name,
    exists (select from account_terms where workspace = $1 and external_id = $4 and hidden_at is null
        and account is distinct from $7) as external_id,
    exists (select from account_terms where uuid = $5 and account is distinct from $7) as uuid,
    exists (select from currency where workspace = $1 and code = $6 and yeti_id is not null) as currency
from (select) as one left join customer c on c.workspace = $1 and c.yeti_id = $2 and c.hidden_at is null;

-- name: draw_account_number
-- A number for a new account, and whether it is the text of an id or an alias already.
select number, exists (select from account where workspace = $1 and togai_id = number::text)
    or exists (select from alias where workspace = $1 and value = number::text)
    or exists (select from account_name where workspace = $1 and value = number::text) as taken
from nextval(format('yeti_account_%s', $1::int)::regclass) as n (number);

-- name: keep_contractor
-- Keep a customer from being archived or hidden while an account is made for it or moved to it.
select key from customer where workspace = $1 and key = $2 and hidden_at is null and status <> 'ARCHIVED' for share;

-- name: insert_agreed
-- Add an account under the text of its number, with its name, its terms and its id among the names of events.
with made as (
    insert into account (workspace, customer, togai_id, yeti_id, wire_id, currency, timezone, status, metadata, tags,
        created_at, updated_at)
    values ($1, $2, $3::bigint::text, $3, $4, $5, $6, 'ACTIVE', '{}', '{}', $7, $7) returning key
), called as (
    insert into account_profile (account, workspace, name) select key, $1, $8 from made
), named as (
    insert into account_name (workspace, value, account, kind, wire_id, effective, created_at, updated_at)
    select $1, $3::bigint::text, key, 'ID', $9, tstzrange(null, null), $7, $7 from made
)
insert into account_terms (account, workspace, uuid, external_id, min_balance, max_balance, vat, balance_low_threshold,
    balance_high_threshold, send_balance_notifications_to, destination_rate_limit, max_call_duration,
    origination_capacity, termination_capacity, total_capacity, send_invoices_to, invoice_period, next_invoice_at,
    next_invoice_type, invoice_template)
select key, $1, coalesce($10::uuid, gen_random_uuid()), $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
    $24, $25, $26, $27
from made returning account, uuid;

-- name: lock_agreed
-- What is agreed with an account that the carrier has not deleted, locked until the transaction ends.
select a.key, a.togai_id, a.status = 'ARCHIVED' as archived, a.closed_until is not null as invoiced, a.currency,
    coalesce(a.timezone, $3) as timezone, c.yeti_id as contractor, p.name, t.uuid, t.external_id, t.min_balance,
    t.max_balance, t.vat, t.balance_low_threshold, t.balance_high_threshold, t.send_balance_notifications_to,
    t.destination_rate_limit, t.max_call_duration, t.origination_capacity, t.termination_capacity, t.total_capacity,
    t.send_invoices_to, t.invoice_period as invoice_period_id, t.next_invoice_at, t.next_invoice_type, t.invoice_template
from account a join account_profile p on p.account = a.key join account_terms t on t.account = a.key
join customer c on c.key = a.customer
where a.workspace = $1 and a.yeti_id = $2 and t.hidden_at is null for no key update of a, t;

-- name: account_key
-- The key of an account that the carrier has not deleted.
select a.key, a.togai_id, a.customer, a.status = 'ARCHIVED' as archived
from account a join account_terms t on t.account = a.key
where a.workspace = $1 and a.yeti_id = $2 and t.hidden_at is null;

-- name: update_agreed
-- Change what is agreed with an account.
with changed as (
    update account set customer = $3, timezone = $4, updated_at = $5 where workspace = $1 and key = $2 returning key
), called as (
    update account_profile set name = $6 where workspace = $1 and account = $2 and name <> $6
)
update account_terms t set uuid = $7, external_id = $8, min_balance = $9, max_balance = $10, vat = $11,
    balance_low_threshold = $12, balance_high_threshold = $13, send_balance_notifications_to = $14,
    destination_rate_limit = $15, max_call_duration = $16, origination_capacity = $17, termination_capacity = $18,
    total_capacity = $19, send_invoices_to = $20, invoice_period = $21, next_invoice_at = $22, next_invoice_type = $23,
    invoice_template = $24
from changed where t.workspace = $1 and t.account = changed.key;

-- name: hide_agreed
-- The carrier deleted an account: it is no longer invoiced there.
update account_terms set hidden_at = $3, invoice_period = null, next_invoice_at = null, next_invoice_type = null
where workspace = $1 and account = $2;
