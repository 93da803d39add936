-- name: insert_wallet_holds
-- Set money of wallets aside that are held by the transaction, with audit rows of it; keys in the order given.
with placed as (
    insert into wallet_hold (workspace, wire_id, ledger_account, amount, description, created_at, expires_at)
    select $1, wire_id, ledger_account, amount, description, $2, expires_at
    from unnest($3::text::text[], $4::text::bigint[], $5::text::numeric[], $6::text::text[], $7::timestamptz[])
        with ordinality as h (wire_id, ledger_account, amount, description, expires_at, place)
    order by place
), reserved as (
    update ledger_balance b set held = b.held + c.amount
    from unnest($8::text::bigint[], $9::text::numeric[]) as c (ledger_account, amount)
    where b.workspace = $1 and b.ledger_account = c.ledger_account
    returning 1
), audited as (
    {audit}
    select $1, recorded_at, actor, action, kind, object, detail::jsonb
    from unnest($10::timestamptz[], $11::text::text[], $12::text::text[], $13::text::text[], $14::text::text[],
        $15::text::text[]) with ordinality as a (recorded_at, actor, action, kind, object, detail, place)
    order by place
)
select count(*)::int from reserved;

-- name: hold_more
-- Change what is set aside of wallets that are held by the transaction.
update ledger_balance b set held = b.held + c.amount
from unnest($2::bigint[], $3::numeric[]) as c (ledger_account, amount)
where b.workspace = $1 and b.ledger_account = c.ledger_account;

-- name: wallets_of_holds
-- The wallets that holds by key are of.
select h.key, h.ledger_account, l.account, l.currency, coalesce(a.timezone, w.timezone) as zone
from wallet_hold h join ledger_account l on l.key = h.ledger_account join account a on a.key = l.account
join workspace w on w.key = h.workspace
where h.workspace = $1 and h.key = any($2::bigint[]);

-- name: wallet_holds
-- Holds by key as they are, once their wallets are held.
select key, amount, status, wire_id, expires_at from wallet_hold
where workspace = $1 and key = any($2::bigint[]);

-- name: close_wallet_holds
-- End open holds.
update wallet_hold h set status = c.status, settled = c.settled, closed_at = c.closed_at
from unnest($2::bigint[], $3::text[], $4::numeric[], $5::timestamptz[]) as c (key, status, settled, closed_at)
where h.workspace = $1 and h.key = c.key and h.status = 'OPEN'
returning h.key;

-- name: due_wallet_holds
-- Open holds whose time is over, oldest first.
select key from wallet_hold where workspace = $1 and status = 'OPEN' and expires_at <= $2 order by expires_at, key limit $3;

-- name: erase_descriptions
-- Forget what holds of a customer's wallets were described as, by id.
update wallet_hold set description = null
where workspace = $1 and description is not null and ledger_account in (
    select l.key from ledger_account l join account a on a.key = l.account join customer c on c.key = a.customer
    where c.workspace = $1 and c.togai_id = $2 and l.kind = 'wallet');

-- name: wrong_held
-- Wallets of which more or less is set aside than their open holds come to.
select b.ledger_account, b.workspace, b.held, coalesce(h.amount, 0) as amount from ledger_balance b
left join (select ledger_account, sum(amount) as amount from wallet_hold where status = 'OPEN' group by ledger_account) h
    on h.ledger_account = b.ledger_account
where b.held <> coalesce(h.amount, 0) order by b.ledger_account limit 20;

-- name: wrong_settled
-- Holds that took another amount from their wallet than they were settled at.
select h.key, h.workspace, coalesce(h.settled, 0) as settled, coalesce(p.amount, 0) as posted from wallet_hold h
left join (select t.cause_key, p.ledger_account, sum(p.amount) as amount from ledger_transaction t
    join posting p on p.transaction = t.key where t.cause = 'hold' group by t.cause_key, p.ledger_account) p
    on p.cause_key = h.key and p.ledger_account = h.ledger_account
where coalesce(h.settled, 0) <> coalesce(p.amount, 0) order by h.key limit 20;
