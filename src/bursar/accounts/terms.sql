-- name: hold_terms
-- Keep what must be unique at the carrier's door from others until the transaction ends, in an order that cannot go round in
-- a circle. It has no parameters, so that it may be sent along with BEGIN; its places are numbers.
select pg_advisory_xact_lock(7215004, place) from unnest('{places}'::int[]) as p (place);

-- name: facts_of_terms
-- What decides on accounts that are made ($7 null) or on one that is changed: contractor, who has its unique values,
-- currency; of new ones key and number, too, and whether that is an id or an alias already. Contractors are kept from being
-- archived or hidden until the transaction ends. Each is looked up by an index (`offset 0` keeps that a look-up).
with given as materialized (
    select *, case when $7::bigint is null then nextval('account_key_seq') end as key,
        case when $7::bigint is null then nextval((select format('yeti_account_%s', $1::int)::regclass)) end as number
    from unnest($2::text::bigint[], $3::text::text[], $4::text::bigint[], $5::text::uuid[], $6::text::text[]) with ordinality
        as g (contractor, name, external_id, uuid, currency, place)
), kept as materialized (
    select key, yeti_id, status from customer
    where workspace = $1 and yeti_id = any ($2::text::bigint[]) and hidden_at is null order by key for share
)
select c.key as contractor, coalesce(c.status = 'ARCHIVED', false) as archived,
    exists (select from account_profile p join account_terms t on t.account = p.account
        where p.workspace = $1 and p.name = g.name and t.hidden_at is null and p.account is distinct from $7 offset 0) as name,
    exists (select from account_terms where workspace = $1 and external_id = g.external_id and hidden_at is null
        and account is distinct from $7 offset 0) as external_id,
    exists (select from account_terms where uuid = g.uuid and account is distinct from $7 offset 0) as uuid,
    exists (select from currency where workspace = $1 and code = g.currency and yeti_id is not null offset 0) as currency,
    g.key, g.number, exists (select from alias where workspace = $1 and value = g.number::text offset 0)
        or exists (select from account_name where workspace = $1 and value = g.number::text offset 0) as number_taken
from given g left join kept c on c.yeti_id = g.contractor
order by g.place;

-- name: draw_account_numbers
-- Numbers for so many new accounts, in order; those that are not the text of an id or an alias already.
select number from (select nextval(format('yeti_account_%s', $1::int)::regclass) as number from generate_series(1, $2::int)) n
where not exists (select from account where workspace = $1 and togai_id = number::text offset 0)
    and not exists (select from alias where workspace = $1 and value = number::text offset 0)
    and not exists (select from account_name where workspace = $1 and value = number::text offset 0)
order by number;

-- name: insert_agreed
-- Add accounts under keys that were drawn and the texts of their numbers, with their names, their terms, their ids among the
-- names of events and their audit rows, whose actors are $28.
with given as materialized (
    select *, number::text as id from unnest($3::text::bigint[], $4::text::bigint[], $5::text::text[], $6::text::text[], $7::text::text[],
        $8::text::text[], $9::text::text[], $10::text::uuid[], $11::text::bigint[], $12::text::numeric[], $13::text::numeric[],
        $14::text::numeric[], $15::text::numeric[], $16::text::numeric[], $17::text::text[], $18::text::numeric[],
        $19::text::int[], $20::text::smallint[], $21::text::smallint[], $22::text::smallint[], $23::text::text[],
        $24::text::smallint[], $25::text::timestamptz[], $26::text::smallint[], $27::text::bigint[], $28::text::text[],
        $29::text::bigint[]) with ordinality
    as g (customer, number, wire_id, currency, timezone, name, name_wire_id, uuid, external_id, min_balance, max_balance, vat,
        balance_low_threshold, balance_high_threshold, send_balance_notifications_to, destination_rate_limit,
        max_call_duration, origination_capacity, termination_capacity, total_capacity, send_invoices_to, invoice_period,
        next_invoice_at, next_invoice_type, invoice_template, actor, key, place)
), made as (
    insert into account (key, workspace, customer, togai_id, yeti_id, wire_id, currency, timezone, status, metadata, tags,
        created_at, updated_at)
    overriding system value
    select key, $1, customer, id, number, wire_id, currency, timezone, 'ACTIVE', '{}', '{}', $2, $2 from given
), called as (
    insert into account_profile (account, workspace, name) select key, $1, name from given
), named as (
    insert into account_name (workspace, value, account, kind, wire_id, effective, created_at, updated_at)
    select $1, id, key, 'ID', name_wire_id, tstzrange(null, null), $2, $2 from given
), audited as (
    {audit}
    select $1, $2, actor, 'create', 'account', id, '{}' from given order by place
)
insert into account_terms (account, workspace, uuid, external_id, min_balance, max_balance, vat, balance_low_threshold,
    balance_high_threshold, send_balance_notifications_to, destination_rate_limit, max_call_duration, origination_capacity,
    termination_capacity, total_capacity, send_invoices_to, invoice_period, next_invoice_at, next_invoice_type,
    invoice_template)
select key, $1, uuid, external_id, min_balance, max_balance, vat, balance_low_threshold, balance_high_threshold,
    send_balance_notifications_to::bigint[], destination_rate_limit, max_call_duration, origination_capacity,
    termination_capacity, total_capacity, send_invoices_to::bigint[], invoice_period, next_invoice_at, next_invoice_type,
    invoice_template
from given;

-- name: lock_agreed
-- What is agreed with an account that the carrier has not deleted, locked until the transaction ends.
select a.key, a.customer, a.togai_id, a.status = 'ARCHIVED' as archived, a.closed_until is not null as invoiced, a.currency,
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

-- name: wrong_counts
-- Workspaces whose accounts are not as many as their counters say.
select w.key as workspace, coalesce(c.accounts, 0) as counted, coalesce(t.accounts, 0) as accounts from workspace w
left join (select workspace, sum(accounts) as accounts from account_count group by workspace) c on c.workspace = w.key
left join (select workspace, count(*) as accounts from account_terms where hidden_at is null group by workspace) t
    on t.workspace = w.key
where coalesce(c.accounts, 0) <> coalesce(t.accounts, 0) order by w.key limit 20;

-- name: shared_names
-- Names that lead to two accounts at one time.
select n.workspace, n.value from account_name n
where exists (select from account_name o where o.workspace = n.workspace and o.value = n.value and o.account > n.account
    and o.effective && n.effective) order by n.key limit 20;
