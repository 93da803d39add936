-- name: wallet
-- What is in the wallet of an account, by key and currency, what of it is set aside at an instant, and what was set of it.
select l.key as ledger_account, coalesce(-b.balance, 0) as balance, case when b.held > 0 then b.held - (
        select coalesce(sum(h.amount), 0) from wallet_hold h
        where h.ledger_account = l.key and h.status = 'OPEN' and h.expires_at <= $4)
    else 0 end as held, w.status, w.effective_from, w.updated_at
from (select $2::bigint as account) a
left join ledger_account l on l.workspace = $1 and l.kind = 'wallet' and l.account = a.account and l.detail = ''
    and l.currency = $3
left join ledger_balance b on b.ledger_account = l.key
left join wallet w on w.workspace = $1 and w.account = a.account;

-- name: set_wallet
-- Set of a wallet what is given; the rest stays.
insert into wallet (account, workspace, status, effective_from, updated_at)
values ($2, $1, coalesce($3, 'ACTIVE'), $4, $5)
on conflict (account) do update set status = coalesce($3, wallet.status),
    effective_from = coalesce($4, wallet.effective_from), updated_at = $5;

-- name: decimals_of_currency
-- How many decimals a currency of the workspace has.
select exponent from currency where workspace = $1 and code = $2;

-- name: wallets_with_money
-- Which accounts, by key with their currencies, have money in a wallet that may be used at an instant.
-- Each is looked up by the whole key (`offset 0` keeps that a look-up), and most have none.
select o.account from unnest($2::bigint[], $3::text[]) as o (account, currency)
cross join lateral (select key from ledger_account where workspace = $1 and kind = 'wallet' and account = o.account
    and detail = '' and currency = o.currency offset 0) l
join ledger_balance b on b.ledger_account = l.key and b.balance < 0
where not exists (select from wallet w where w.account = o.account and (w.status <> 'ACTIVE' or w.effective_from > $4));
