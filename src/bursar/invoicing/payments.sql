-- name: paying_accounts
-- Accounts by their number at the carrier's door, as far as they are to be seen there, with their wallets, held, and the cash that
-- comes in; and, in rows of their own, keys for $3 payments.
with asked as materialized (
    select a.yeti_id, a.key, t.uuid, a.currency, coalesce(a.timezone, w.timezone) as zone
    from account a join account_terms t on t.account = a.key join workspace w on w.key = a.workspace
    where a.workspace = $1 and a.yeti_id = any($2::text::bigint[]) and t.hidden_at is null
), named as materialized (
    select 'wallet' as kind, key as account, '' as detail, currency, 0 as place from asked
    union all
    select distinct 'cash', null::bigint, '', currency, 0 from asked
), {holding}
select a.yeti_id, a.key as account, a.uuid, a.currency, a.zone, c.key as cash, f.key, h.balance, h.watch, h.held, t.low, t.high,
    null as reserved
from asked a left join found f on f.account = a.key left join found c on c.account is null and c.currency = a.currency
left join held h on h.ledger_account = f.key left join agreed t on t.account = a.key
union all
select null, null, null, null, null, null, null, null, null, null, null, null, nextval('payment_key_seq')
from generate_series(1, $3::int);

-- name: insert_payments
-- Payments under their reserved keys, completed, with their movements and their audit rows; their numbers are drawn in the same
-- order.
{posting}, given as materialized (
    select *, nextval((select format('yeti_object_%s', $1::int)::regclass)) as number
    from unnest($17::text::bigint[], $18::text::bigint[], $19::text::numeric[], $20::text::text[], $21::text::text[],
        $22::text::text[], $23::text::numeric[], $24::text::timestamptz[], $25::text::text[], $26::text::text[]) with ordinality
    as p (key, account, amount, currency, notes, private_notes, balance_before, created_at, actor, detail, place)
), made as (
    insert into payment (key, workspace, yeti_id, account, amount, currency, notes, private_notes, type, status, balance_before,
        created_at)
    overriding system value
    select key, $1, number, account, amount, currency, notes, private_notes, 'manual', 'completed', balance_before, created_at
    from given order by place returning key, yeti_id, uuid
), audited as (
    {audit}
    select $1, $16, actor, 'create', 'payment', number::text, detail::jsonb from given order by place
)
select key, yeti_id, uuid, (select count(*) from changed) as changed from made;

-- name: list_payments
-- The payments of a workspace, of accounts that a carrier sees.
select p.yeti_id as id, p.uuid, a.yeti_id as account_id, t.uuid as account_uuid, p.amount, p.currency, p.notes, p.private_notes, p.status,
    p.type as type_name, p.balance_before as balance_before_payment, p.created_at, p.rolled_back_at as rolledback_at
from payment p join account a on a.key = p.account join account_terms t on t.account = p.account
where p.workspace = $1 and t.hidden_at is null;

-- name: lock_payment
-- A payment by its number, which nobody else changes meanwhile.
select p.key, p.account, p.yeti_id as id, p.uuid, a.yeti_id as account_id, t.uuid as account_uuid, p.amount, p.currency,
    p.notes, p.private_notes, p.status, p.type as type_name, p.balance_before as balance_before_payment, p.created_at,
    p.rolled_back_at as rolledback_at, coalesce(a.timezone, w.timezone) as zone
from payment p join account a on a.key = p.account join account_terms t on t.account = p.account
join workspace w on w.key = p.workspace
where p.workspace = $1 and p.yeti_id = $2 for no key update of p;

-- name: roll_back_payment
-- A payment is taken back.
update payment set status = 'rolled_back', rolled_back_at = $3 where workspace = $1 and key = $2;

-- name: erase_notes
-- Forget what was noted of a customer's payments.
update payment set notes = null, private_notes = null
where workspace = $1 and (notes is not null or private_notes is not null) and account in (
    select a.key from account a join customer c on c.key = a.customer where c.workspace = $1 and c.togai_id = $2);

-- name: wrong_payments
-- Payments whose movements of the wallet are not what they say: that of the payment, and that of taking it back.
select p.workspace, p.yeti_id, p.status, p.amount, m.paid, m.returned from payment p cross join lateral (
    select coalesce(sum(-o.amount) filter (where t.cause = 'payment'), 0) as paid,
        coalesce(sum(o.amount) filter (where t.cause = 'payment_rollback'), 0) as returned
    from ledger_transaction t join posting o on o.transaction = t.key
    join ledger_account a on a.key = o.ledger_account and a.kind = 'wallet' and a.account = p.account
    where t.workspace = p.workspace and t.cause in ('payment', 'payment_rollback') and t.cause_key = p.key) m
where m.paid <> case when p.status in ('completed', 'rolled_back') then p.amount else 0 end
    or m.returned <> case when p.status = 'rolled_back' then p.amount else 0 end
order by p.key limit 20;

-- name: stray_movements
-- Movements of payments that there are not, or more than one of the same.
select t.cause, t.cause_key, count(*) as found from ledger_transaction t
left join payment p on p.key = t.cause_key and p.workspace = t.workspace
where t.cause in ('payment', 'payment_rollback')
group by t.cause, t.cause_key having count(*) > 1 or count(p.key) = 0 order by t.cause_key limit 20;
