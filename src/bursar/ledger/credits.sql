-- name: insert_credit
-- A credit, unless its account has one of the same idempotency key.
insert into credit (workspace, wire_id, account, currency, purpose, entities, priority, effective_from, effective_until,
    starts_at, ends_at, grantor_id, idempotency_key, granted, paid, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)
on conflict (account, idempotency_key) do nothing returning key;

-- name: credits_at
-- Credits by key, with their accounts.
select c.*, a.togai_id as account_id, u.togai_id as customer_id, coalesce(a.timezone, w.timezone) as zone
from credit c join account a on a.key = c.account join customer u on u.key = a.customer join workspace w on w.key = c.workspace
where c.workspace = $1 and c.key = any($2::bigint[]) order by c.key;

-- name: find_credit
-- The key of a credit by wire id.
select key from credit where workspace = $1 and wire_id = $2;

-- name: find_repeated_credit
-- The key of an account's credit of an idempotency key.
select key from credit where workspace = $1 and account = $2 and idempotency_key = $3;

-- name: hold_credits
-- Credits by key, held in that order until the transaction ends.
select key from credit where workspace = $1 and key = any($2::bigint[]) order by key for no key update;

-- name: list_credits
-- The newest credits that match at an instant, before a key.
select c.key from credit c join account a on a.key = c.account
where c.workspace = $1 and ($2::text is null or a.togai_id = $2) and ($3::text is null or c.wire_id = $3)
    and ($4::text is null or $4 = case when c.voided_at is not null then 'VOIDED'
        when c.granted = c.consumed then 'CONSUMED'
        when c.lapsed > 0 or c.ends_at <= $5::timestamptz then 'EXPIRED' else 'ACTIVE' end)
    and ($6::bigint is null or c.key < $6)
order by c.key desc limit $7;

-- name: open_credits
-- The keys of credits of accounts of which something is left.
select key from credit where workspace = $1 and account = any($2::bigint[]) and granted > consumed + lapsed;

-- name: change_credits
-- Change what was granted, paid for, used and lost of credits that are held.
update credit c set granted = c.granted + n.granted, paid = c.paid + n.paid, consumed = c.consumed + n.consumed,
    lapsed = c.lapsed + n.lapsed, updated_at = $2
from unnest($3::bigint[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[])
    as n (key, granted, paid, consumed, lapsed)
where c.workspace = $1 and c.key = n.key;

-- name: void_credit
-- A credit is void from an instant on.
update credit set voided_at = $3 where workspace = $1 and key = $2;

-- name: insert_credit_entries
-- Note what came over credits, in order.
insert into credit_entry (workspace, credit, kind, amount, invoice_id, recorded_at)
select $1, credit, kind, amount, invoice_id, $2
from unnest($3::bigint[], $4::text[], $5::numeric[], $6::text[]) with ordinality
    as e (credit, kind, amount, invoice_id, place) order by place;

-- name: entries_of_credit
-- What came over a credit, in order.
select key, kind, amount, invoice_id, recorded_at from credit_entry where workspace = $1 and credit = $2 order by key;

-- name: used_for_invoice
-- What is used of credits for an invoice and was not given back.
select credit, sum(case kind when 'DEBITED' then amount else -amount end) as amount from credit_entry
where workspace = $1 and invoice_id = $2 group by credit order by credit;

-- name: movement_of_credit
-- The movement that granted a credit.
select min(key) from ledger_transaction where workspace = $1 and cause = 'credit' and cause_key = $2;

-- name: wrong_credits
-- Credits that are not what their entries say, or whose ledger account does not hold what is left of them.
select c.wire_id, c.granted, c.consumed, c.lapsed, coalesce(-b.balance, 0) as posted, e.granted as entered,
    e.consumed as used, e.lapsed as lost
from credit c cross join lateral (
    select coalesce(sum(amount) filter (where kind = 'CREDITED' and invoice_id is null), 0) as granted,
        coalesce(sum(case kind when 'DEBITED' then amount else -amount end) filter (where invoice_id is not null), 0) as consumed,
        coalesce(sum(amount) filter (where kind in ('EXPIRED', 'VOIDED')), 0) as lapsed
    from credit_entry n where n.credit = c.key) e
left join ledger_account l on l.workspace = c.workspace and l.kind = 'credit' and l.account = c.account
    and l.detail = c.wire_id and l.currency = c.currency
left join ledger_balance b on b.ledger_account = l.key
where (c.granted, c.consumed, c.lapsed) <> (e.granted, e.consumed, e.lapsed)
    or coalesce(-b.balance, 0) <> c.granted - c.consumed - c.lapsed
    or (c.voided_at is not null and c.granted <> c.consumed + c.lapsed)
order by c.key limit 20;

-- name: erase_purposes
-- Forget what the credits of a customer were said to be for, by id.
update credit set purpose = $3
where workspace = $1 and account in (
    select a.key from account a join customer c on c.key = a.customer where c.workspace = $1 and c.togai_id = $2);
