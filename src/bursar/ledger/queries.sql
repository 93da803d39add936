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

-- name: insert_ledger_accounts
-- Make ledger accounts that do not exist yet, in the order given; a concurrent twin is waited for.
insert into ledger_account (workspace, kind, account, detail, currency)
select $1, kind, account, detail, currency
from unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) with ordinality
    as named (kind, account, detail, currency, place)
order by place
on conflict do nothing;

-- name: reserve_transactions
-- Keys for so many transactions, in order.
select nextval('ledger_transaction_key_seq') as key from generate_series(1, $1::int);

-- name: insert_transactions
-- Transactions under their reserved keys.
insert into ledger_transaction (key, workspace, cause, cause_key, description, accounting_date, recorded_at)
overriding system value
select key, $1, cause, cause_key, description, accounting_date, $2
from unnest($3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::date[])
    as t (key, cause, cause_key, description, accounting_date);

-- name: insert_postings
-- All postings of these transactions in one statement, as the balance trigger demands; $5 are places in $6.
insert into posting (transaction, line, workspace, ledger_account, currency, amount)
select transaction, line, $1, ledger_account, ($6::text[])[currency], amount
from unnest($2::text::bigint[], $3::text::int[], $4::text::bigint[], $5::text::int[], $7::text::numeric[])
    as p (transaction, line, ledger_account, currency, amount);

-- name: add_to_balances
-- Raise or lower running balances; rows are taken in the order given, which is the order of their keys.
insert into ledger_balance (ledger_account, workspace, balance)
select ledger_account, $1, amount
from unnest($2::bigint[], $3::numeric[]) with ordinality as b (ledger_account, amount, place)
order by place
on conflict (ledger_account) do update set balance = ledger_balance.balance + excluded.balance;

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
