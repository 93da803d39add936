-- name: find_ledger_accounts
-- The keys of named ledger accounts, as far as they exist; `place` is the position of the name.
-- Each is looked up by the whole key (`offset 0` keeps that a look-up): a workspace has several for each of its accounts.
select named.place::int as place, a.key
from unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) with ordinality
    as named (kind, account, detail, currency, place)
cross join lateral (select key from ledger_account where workspace = $1 and kind = named.kind
    and account = named.account and detail = named.detail and currency = named.currency offset 0) a
union all
select named.place::int, a.key
from unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) with ordinality
    as named (kind, account, detail, currency, place)
cross join lateral (select key from ledger_account where workspace = $1 and kind = named.kind
    and account is null and detail = named.detail and currency = named.currency offset 0) a
where named.account is null;

-- name: holding
-- What follows the ledger accounts `named (kind, account, detail, currency, place)` in a statement: `found` has the keys of those
-- that exist, `held` the balances of the wallets among them, which nobody else changes until the transaction ends, and `agreed`
-- the thresholds of their accounts. Rows are taken in the order of their keys, and none where a name has no ledger account yet:
-- those are made before any is held. Thresholds are those in force once all are held (`count`).
found as materialized (
    select n.place::int as place, n.kind, n.account, n.currency, a.key from named n
    cross join lateral (select key from ledger_account where workspace = $1 and kind = n.kind
        and account = n.account and detail = n.detail and currency = n.currency offset 0) a
    union all
    select n.place::int, n.kind, n.account, n.currency, a.key from named n
    cross join lateral (select key from ledger_account where workspace = $1 and kind = n.kind
        and account is null and detail = n.detail and currency = n.currency offset 0) a
    where n.account is null
), held as materialized (
    select ledger_account, balance, watch, held from ledger_balance
    where workspace = $1 and ledger_account = any(array(select key from found where kind = 'wallet'))
        and (select count(*) from found) = (select count(*) from named)
    order by ledger_account for no key update
), agreed as materialized (
    select * from thresholds_in_force(
        array(select account from found where kind = 'wallet' and (select count(*) from held) > 0))
);

-- name: find_and_hold
-- As `find_ledger_accounts`, with the wallets among them held.
with named as materialized (
    select * from unnest($2::text::text[], $3::text::bigint[], $4::text::text[], $5::text::text[]) with ordinality
        as n (kind, account, detail, currency, place)
), {holding}
select f.place, f.key, h.balance, h.watch, h.held, t.low, t.high
from found f left join held h on h.ledger_account = f.key left join agreed t on t.account = f.account;

-- name: insert_ledger_accounts
-- Make ledger accounts that do not exist yet, in the order given; a concurrent twin is waited for.
insert into ledger_account (workspace, kind, account, detail, currency)
select $1, kind, account, detail, currency
from unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) with ordinality
    as named (kind, account, detail, currency, place)
order by place
on conflict do nothing;

-- name: posting
-- How a statement begins that adds transactions, with all postings of them all in one statement as the balance trigger demands,
-- and the balances of the wallets that they change: `drawn` has their keys and places, `changed` the balances that were as they
-- were found to be. $10 are places of transactions among these, $13 places of currencies in $14.
with drawn as materialized (
    select nextval('ledger_transaction_key_seq') as key, cause, cause_key, description, accounting_date, place
    from unnest($6::text::text[], $7::text::bigint[], $8::text::text[], $9::text::date[]) with ordinality
        as t (cause, cause_key, description, accounting_date, place)
), entered as (
    insert into ledger_transaction (key, workspace, cause, cause_key, description, accounting_date, recorded_at)
    overriding system value
    select key, $1, cause, cause_key, description, accounting_date, $16 from drawn
), posted as (
    insert into posting (transaction, line, workspace, ledger_account, currency, amount)
    select d.keys[p.place], line, $1, ledger_account, ($14::text[])[currency], amount
    from (select array_agg(key order by place) as keys from drawn) d, unnest($10::text::int[], $11::text::int[],
        $12::text::bigint[], $13::text::int[], $15::text::numeric[]) as p (place, line, ledger_account, currency, amount)
), changed as (
    {change_wallets}
);

-- name: insert_transactions
-- Only that; answers the keys in order, and how many balances were changed.
{posting} select key, (select count(*) from changed) as changed from drawn order by place;

-- name: add_to_balances
-- Raise or lower running balances; rows are taken in the order given, which is the order of their keys.
insert into ledger_balance (ledger_account, workspace, balance)
select ledger_account, $1, amount
from unnest($2::bigint[], $3::numeric[]) with ordinality as b (ledger_account, amount, place)
order by place
on conflict (ledger_account) do update set balance = ledger_balance.balance + excluded.balance;

-- name: hold_wallets
-- Balances of wallets, which nobody else changes until the transaction ends; rows are taken in the order of their keys.
select ledger_account, balance, watch, held from ledger_balance where workspace = $1 and ledger_account = any($2::bigint[])
order by ledger_account for no key update;

-- name: open_wallets
-- Wallets begin with nothing in them.
insert into ledger_balance (ledger_account, workspace, balance)
select key, $1, 0 from unnest($2::bigint[]) as w (key) order by key on conflict do nothing;

-- name: thresholds_of
-- The thresholds of wallets whose accounts have any; read after the wallets are held, so that they are those in force.
select a.key as ledger_account, t.balance_low_threshold as low, t.balance_high_threshold as high
from ledger_account a join account_terms t on t.account = a.account
where a.workspace = $1 and a.key = any($2::bigint[])
    and (t.balance_low_threshold is not null or t.balance_high_threshold is not null);

-- name: overdue_holds
-- What open holds of wallets come to whose time is over.
select ledger_account, sum(amount) as amount from wallet_hold
where workspace = $1 and ledger_account = any($2::bigint[]) and status = 'OPEN' and expires_at <= $3
group by ledger_account;

-- name: change_wallets
-- Change balances that are held, from what they were found to be; rows are taken in the order given, that of their keys.
update ledger_balance b set balance = b.balance + c.amount, watch = c.watch
from (select * from unnest($2::text::bigint[], $3::text::numeric[], $4::text::numeric[], $5::text::smallint[])
    with ordinality as c (ledger_account, found, amount, watch, place) order by place) c
where b.workspace = $1 and b.ledger_account = c.ledger_account and b.balance = c.found returning b.ledger_account;

-- name: insert_notifications
-- Thresholds that wallets have passed.
insert into balance_notification (workspace, account, event, balance, low, high, occurred_at)
select $1, account, event, balance, low, high, $2
from unnest($3::bigint[], $4::smallint[], $5::numeric[], $6::numeric[], $7::numeric[]) with ordinality
    as n (account, event, balance, low, high, place)
order by place returning key;

-- name: notification_at
-- A threshold that was passed, and the account as a carrier knows it.
select n.event, n.balance, n.low, n.high, n.occurred_at, a.yeti_id as id, p.name, a.currency,
    coalesce(a.timezone, w.timezone) as timezone, t.uuid, t.external_id, t.min_balance, t.max_balance, t.vat,
    t.destination_rate_limit, t.max_call_duration, t.origination_capacity, t.termination_capacity, t.total_capacity,
    t.invoice_period, t.next_invoice_at, t.next_invoice_type, t.send_invoices_to, t.send_balance_notifications_to,
    a.customer, c.yeti_id as contractor
from balance_notification n join account a on a.key = n.account join account_profile p on p.account = n.account
join account_terms t on t.account = n.account join customer c on c.key = a.customer join workspace w on w.key = n.workspace
where n.workspace = $1 and n.key = $2;

-- name: recipients
-- Contacts by number: their addresses, whose they are, and over which connection they are written to; none: to nobody.
select c.yeti_id, c.email, c.customer, coalesce(u.smtp_connection,
    (select s.yeti_id from smtp_connection s where s.workspace = $1 and s.global order by s.key limit 1)) as sender
from contact c join customer u on u.key = c.customer
where c.workspace = $1 and c.yeti_id = any($2::bigint[]) order by c.yeti_id;

-- name: wallet_of_account
-- What a wallet of an account would be called; nothing where there is no such account.
select key, currency from account where workspace = $1 and key = $2;

-- name: account_of_external_id
-- An account as far as its balance goes, by the id that a carrier gave it.
select a.key, a.yeti_id as id, t.external_id, p.name, a.currency, coalesce(a.timezone, w.timezone) as zone
from account_terms t join account a on a.key = t.account join account_profile p on p.account = a.key
join workspace w on w.key = a.workspace
where t.workspace = $1 and t.external_id = $2 and t.hidden_at is null;

-- name: account_of_number
-- An account as far as its balance goes, by its number.
select a.key, a.yeti_id as id, t.external_id, p.name, a.currency, coalesce(a.timezone, w.timezone) as zone
from account_terms t join account a on a.key = t.account join account_profile p on p.account = a.key
join workspace w on w.key = a.workspace
where a.workspace = $1 and a.yeti_id = $2 and t.hidden_at is null;

-- name: balance_of
-- The running balance of one kind of a customer's account.
select coalesce(sum(b.balance), 0) from ledger_account a join ledger_balance b on b.ledger_account = a.key
where a.workspace = $1 and a.account = $2 and a.kind = $3 and a.currency = $4;

-- name: trial_balance
-- Debits and credits per kind of ledger account and currency.
select a.kind, a.currency, sum(greatest(p.amount, 0)) as debits, sum(greatest(-p.amount, 0)) as credits
from ledger_account a join posting p on p.ledger_account = a.key
where a.workspace = $1
group by a.kind, a.currency order by a.currency, a.kind;

-- name: unbalanced_transactions
-- Transactions whose postings do not sum to zero in a currency.
select transaction, currency, sum(amount) as left_over from posting
group by transaction, currency having sum(amount) <> 0 order by transaction limit 20;

-- name: empty_transactions
-- Transactions without postings.
select t.key from ledger_transaction t where not exists (select from posting p where p.transaction = t.key)
order by t.key limit 20;

-- name: wrong_balances
-- Running balances of customers' accounts that differ from the sum of their postings, missing ones included.
select a.key, a.kind, a.workspace, coalesce(b.balance, 0) as balance, coalesce(sum(p.amount), 0) as posted
from ledger_account a
left join ledger_balance b on b.ledger_account = a.key
left join posting p on p.ledger_account = a.key
where a.account is not null
group by a.key, a.kind, a.workspace, b.balance
having b.balance is distinct from coalesce(sum(p.amount), 0)
order by a.key limit 20;

-- name: stray_postings
-- Postings whose workspace or currency is not that of their ledger account and transaction.
select p.transaction, p.line from posting p
join ledger_account a on a.key = p.ledger_account
join ledger_transaction t on t.key = p.transaction
where (p.workspace, p.currency) <> (a.workspace, a.currency) or p.workspace <> t.workspace
order by p.transaction limit 20;

-- name: wrong_watches
-- Wallets whose state does not follow from their balance and thresholds; not those whose thresholds are yet to be looked at.
select a.account, b.watch, -b.balance as balance, t.balance_low_threshold as low, t.balance_high_threshold as high
from ledger_balance b join ledger_account a on a.key = b.ledger_account join account_terms t on t.account = a.account
where a.kind = 'wallet' and not coalesce(case b.watch
        when 1 then -b.balance <= t.balance_low_threshold
        when 2 then -b.balance >= t.balance_high_threshold
        else (t.balance_low_threshold is null or -b.balance >= t.balance_low_threshold)
            and (t.balance_high_threshold is null or -b.balance <= t.balance_high_threshold) end, false)
    and not exists (select from outbox o where o.topic = 'thresholds' and (o.payload ->> 'account')::bigint = a.account)
order by a.key limit 20;

-- name: unnoted_watches
-- Wallets whose state is not the one that the last threshold they passed led to.
select a.account, b.watch, n.event from ledger_balance b join ledger_account a on a.key = b.ledger_account
left join lateral (select event from balance_notification where account = a.account order by key desc limit 1) n on true
where a.kind = 'wallet' and b.watch <> case n.event when 3 then 1 when 4 then 2 else 0 end
order by a.key limit 20;
