-- name: accounts_to_hold
-- Accounts by wire id, as far as setting something of theirs aside goes, with the ledger accounts of their wallets.
select a.key, a.togai_id, a.currency, a.status, coalesce(w.status, 'ACTIVE') as wallet_status, w.effective_from,
    l.key as wallet
from account a left join wallet w on w.workspace = $1 and w.account = a.key
left join lateral (select key from ledger_account where workspace = $1 and kind = 'wallet' and account = a.key
    and detail = '' and currency = a.currency offset 0) l on true
where a.workspace = $1 and a.togai_id = any($2::text[]);

-- name: features_to_hold
-- Internal keys of features by wire id.
select key, wire_id from feature where workspace = $1 and wire_id = any($2::text[]);

-- name: insert_feature_holds
-- Set units of features aside, keys in the order given; note of which grants they are, and that these have less left.
with placed as (
    insert into feature_hold (workspace, wire_id, feature_balance, amount, description, created_at, expires_at)
    select $1, wire_id, feature_balance, amount, description, $2, expires_at
    from unnest($3::text::text[], $4::text::bigint[], $5::text::numeric[], $6::text::text[], $7::timestamptz[])
        with ordinality as h (wire_id, feature_balance, amount, description, expires_at, place)
    order by place returning key, wire_id
), parts as (
    insert into feature_hold_part (workspace, feature_hold, place, feature_grant, amount, expires_at)
    select $1, h.key, p.place, p.feature_grant, p.amount, p.expires_at
    from unnest($8::text::text[], $9::text::int[], $10::text::bigint[], $11::text::numeric[], $12::timestamptz[])
        as p (wire_id, place, feature_grant, amount, expires_at)
    join placed h on h.wire_id = p.wire_id
), reserved as (
    update feature_grant g set held = g.held + c.amount
    from unnest($13::text::bigint[], $14::text::numeric[]) as c (key, amount)
    where g.workspace = $1 and g.key = c.key
    returning 1
)
select count(*)::int from reserved;

-- name: hold_units
-- Change how many units of grants are set aside.
update feature_grant g set held = g.held + c.amount
from unnest($2::bigint[], $3::numeric[]) as c (key, amount) where g.workspace = $1 and g.key = c.key;

-- name: use_units
-- Count units of grants as used that were set aside.
update feature_grant g set used = g.used + c.amount
from unnest($2::bigint[], $3::numeric[]) as c (key, amount)
where g.workspace = $1 and g.key = c.key and (g.granted is null or g.granted - g.used >= c.amount)
returning g.key, g.granted is not null as limited, c.amount;

-- name: find_holds
-- What holds by wire id are of: units or money, and their keys.
select wire_id, key, feature_balance from feature_hold where workspace = $1 and wire_id = any($2::text[])
union all
select wire_id, key, null from wallet_hold where workspace = $1 and wire_id = any($2::text[]);

-- name: keep_balances
-- The balances of features that holds are of, held in the order of their keys until the transaction ends.
select key from feature_balance
where key in (select feature_balance from feature_hold where workspace = $1 and key = any($2::bigint[]))
order by key for update;

-- name: feature_holds
-- Holds of units by key as they are, once their balances are held.
select key, feature_balance, amount, status, wire_id, expires_at from feature_hold
where workspace = $1 and key = any($2::bigint[]);

-- name: parts_of
-- Of which grants open holds have their units, in the order in which they are drawn.
select feature_hold, feature_grant, amount from feature_hold_part
where workspace = $1 and feature_hold = any($2::bigint[]) order by feature_hold, place;

-- name: erase_descriptions
-- Forget what holds of a customer's units were described as, by id.
update feature_hold set description = null
where workspace = $1 and description is not null and feature_balance in (
    select b.key from feature_balance b join account a on a.key = b.account join customer c on c.key = a.customer
    where c.workspace = $1 and c.togai_id = $2);

-- name: drop_parts
-- Forget of which grants closed holds had their units.
delete from feature_hold_part where workspace = $1 and feature_hold = any($2::bigint[]);

-- name: close_feature_holds
-- End open holds.
update feature_hold h set status = c.status, settled = c.settled, closed_at = c.closed_at
from unnest($2::bigint[], $3::text[], $4::numeric[], $5::timestamptz[]) as c (key, status, settled, closed_at)
where h.workspace = $1 and h.key = c.key and h.status = 'OPEN'
returning h.key;

-- name: due_feature_holds
-- Open holds of units whose time is over, oldest first.
select key, feature_balance from feature_hold where workspace = $1 and status = 'OPEN' and expires_at <= $2
order by expires_at, key limit $3;

-- name: holds
-- Holds of money and units, newest first: of an account, in a state at an instant, with some ids, before a key; all optional.
select * from (
    select h.key, h.wire_id, a.togai_id as account, null as feature, l.currency, h.amount,
        case when h.status = 'OPEN' and h.expires_at <= $2 then 'EXPIRED' else h.status end as status, h.settled,
        h.description, h.created_at, h.expires_at,
        case when h.status = 'OPEN' and h.expires_at <= $2 then h.expires_at else h.closed_at end as closed_at
    from wallet_hold h join ledger_account l on l.key = h.ledger_account join account a on a.key = l.account
    where h.workspace = $1
    union all
    select h.key, h.wire_id, a.togai_id, f.wire_id, null, h.amount,
        case when h.status = 'OPEN' and h.expires_at <= $2 then 'EXPIRED' else h.status end, h.settled,
        h.description, h.created_at, h.expires_at,
        case when h.status = 'OPEN' and h.expires_at <= $2 then h.expires_at else h.closed_at end
    from feature_hold h join feature_balance b on b.key = h.feature_balance join account a on a.key = b.account
    join feature f on f.key = b.feature
    where h.workspace = $1
) h
where ($3::text is null or h.account = $3) and ($4::text is null or h.status = $4)
    and ($5::text[] is null or h.wire_id = any($5)) and h.key < $6
order by h.key desc limit $7;

-- name: wrong_units_held
-- Grants of which more or less is set aside than open holds have of them.
select g.key, g.workspace, g.held, coalesce(p.amount, 0) as amount from feature_grant g
left join (select feature_grant, sum(amount) as amount from feature_hold_part group by feature_grant) p
    on p.feature_grant = g.key
where g.held <> coalesce(p.amount, 0) order by g.key limit 20;

-- name: wrong_holds
-- Holds of units whose parts do not come to what they have, or whose entries not to what they were settled at.
select h.key, h.workspace, h.amount, coalesce(p.amount, 0) as parts, coalesce(h.settled, 0) as settled,
    coalesce(e.amount, 0) as entered
from feature_hold h
left join (select feature_hold, sum(amount) as amount from feature_hold_part group by feature_hold) p on p.feature_hold = h.key
left join (select feature_hold, -sum(amount) as amount from feature_entry where feature_hold is not null
    group by feature_hold) e on e.feature_hold = h.key
where coalesce(p.amount, 0) <> case when h.status = 'OPEN' then h.amount else 0 end
    or coalesce(e.amount, 0) <> coalesce(h.settled, 0)
order by h.key limit 20;
