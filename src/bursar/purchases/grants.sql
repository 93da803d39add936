-- name: insert_balance
-- Begin the balance of an account and a feature, where there is none.
insert into feature_balance (workspace, account, feature, balance) values ($1, $2, $3, 0)
on conflict (account, feature) do nothing;

-- name: lock_balance
-- The balance of an account and a feature, held until the transaction ends.
select key from feature_balance where workspace = $1 and account = $2 and feature = $3 for update;

-- name: lock_balances
-- Balances of accounts and features by pairs, held in the order of their keys until the transaction ends.
select b.key, b.account, b.feature from feature_balance b
join unnest($1::bigint[], $2::bigint[]) as w (account, feature) on w.account = b.account and w.feature = b.feature
order by b.key for update of b;

-- name: lock_grants
-- The grants of accounts and features by pairs that are not voided and end after an instant. Balances are held in the
-- order of their keys until the transaction ends, and with each its grants, so that they are as whoever held them left
-- them. Each is one look at an index, however many grants there are: a join might go through all of them.
select b.account, b.feature, g.*, 0 as over
from (
    select f.key from unnest($1::bigint[], $2::bigint[]) as w (account, feature)
    cross join lateral (select key from feature_balance where account = w.account and feature = w.feature offset 0) f
    order by f.key
) w
cross join lateral (
    select key, account, feature from feature_balance where key = w.key offset 0 for no key update
) b
cross join lateral (
    select * from feature_grant where feature_balance = b.key and voided_at is null and effective_until > $3
    offset 0 for no key update
) g;

-- name: overdue_parts
-- What holds have of grants whose time is over.
select feature_grant, sum(amount) as amount from feature_hold_part
where feature_grant = any($1::bigint[]) and expires_at <= $2 group by feature_grant;

-- name: grants_in_force
-- Grants of an account and a feature that may be drawn at an instant.
select g.*, (select coalesce(sum(amount), 0) from feature_hold_part
    where feature_grant = g.key and expires_at <= $4) as over
from feature_grant g join feature_balance b on b.key = g.feature_balance
where b.workspace = $1 and b.account = $2 and b.feature = $3 and g.voided_at is null
    and g.effective_from <= $4 and g.effective_until > $4;

-- name: all_in_force
-- Grants of an account that may be drawn at an instant, with their features.
select g.*, f.wire_id as feature_id, (select coalesce(sum(amount), 0) from feature_hold_part
    where feature_grant = g.key and expires_at <= $3) as over
from feature_grant g
join feature_balance b on b.key = g.feature_balance join feature f on f.key = b.feature
where b.workspace = $1 and b.account = $2 and g.voided_at is null and g.effective_from <= $3 and g.effective_until > $3
order by f.key, g.key;

-- name: grants
-- Grants of an account and a feature after a key.
select g.*, (select coalesce(sum(amount), 0) from feature_hold_part
    where feature_grant = g.key and expires_at <= $6) as over
from feature_grant g join feature_balance b on b.key = g.feature_balance
where b.workspace = $1 and b.account = $2 and b.feature = $3 and g.key > $4 order by g.key limit $5;

-- name: grant
-- A grant of a balance by wire id.
select g.*, (select coalesce(sum(amount), 0) from feature_hold_part
    where feature_grant = g.key and expires_at <= $4) as over
from feature_grant g where workspace = $1 and feature_balance = $2 and wire_id = $3;

-- name: insert_grant
-- Add a grant; nothing where the balance has one of that id.
insert into feature_grant (workspace, feature_balance, wire_id, source, effective_from, effective_until, granted, used,
    created_at, purchase, schedule)
values ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10)
on conflict (feature_balance, wire_id) do nothing returning key;

-- name: change_grant
-- Give a grant another end and number of units.
update feature_grant set effective_until = $3, granted = $4 where workspace = $1 and key = $2;

-- name: void_grant
-- End a grant at an instant.
update feature_grant set voided_at = $3 where workspace = $1 and key = $2;

-- name: draw
-- Take units out of grants, each only where it holds them; move balances, each only where it stays above zero; and note
-- what was drawn for which event. Says of how many grants and balances it was possible. Grants are found by their keys alone:
-- a condition that the index of live grants has too invites to go through all of those.
with drawn as (
    update feature_grant g set used = g.used + d.amount
    from unnest($1::bigint[], $2::numeric[]) as d (key, amount)
    where g.key = d.key
        and case when g.voided_at is not null then false when g.granted is null then true else g.granted - g.used >= d.amount end
    returning g.key
), moved as (
    update feature_balance b set balance = b.balance - d.amount
    from unnest($3::bigint[], $4::numeric[]) as d (key, amount)
    where b.key = d.key and b.balance >= d.amount
    returning b.key
), entered as (
    insert into feature_entry (workspace, feature_grant, kind, amount, event, recorded_at)
    select e.workspace, e.feature_grant, 'DRAW', e.amount, e.event, $9
    from unnest($5::text::int[], $6::text::bigint[], $7::text::numeric[], $8::text::uuid[])
        as e (workspace, feature_grant, amount, event)
)
select (select count(*) from drawn)::int as grants, (select count(*) from moved)::int as balances;

-- name: move_balances
-- Change what is left on balances, each only where it stays above zero.
update feature_balance b set balance = b.balance + d.amount
from unnest($1::bigint[], $2::numeric[]) as d (key, amount)
where b.key = d.key and b.balance + d.amount >= 0
returning b.key;

-- name: insert_entries
-- Note what came over grants, in order; draws are noted as they are made.
insert into feature_entry (workspace, feature_grant, kind, amount, event, feature_hold, recorded_at)
select e.workspace, e.feature_grant, e.kind, e.amount, e.event, e.feature_hold, $7
from unnest($1::int[], $2::bigint[], $3::text[], $4::numeric[], $5::uuid[], $6::bigint[]) with ordinality
    as e (workspace, feature_grant, kind, amount, event, feature_hold, place)
order by e.place;

-- name: draws_of_event
-- What an event has drawn of each grant, less what came back.
select g.key as feature_grant, g.feature_balance, g.granted is not null as limited, g.voided_at is not null as voided,
    -sum(n.amount) as drawn
from feature_entry n join feature_grant g on g.key = n.feature_grant
where n.workspace = $1 and n.event = $2 group by g.key having sum(n.amount) <> 0 order by g.key;

-- name: hold_balances
-- Balances by key, held in their order until the transaction ends.
select key from feature_balance where key = any($1::bigint[]) order by key for update;

-- name: return_units
-- Give units back to grants.
update feature_grant g set used = g.used - d.amount
from unnest($1::bigint[], $2::numeric[]) as d (key, amount) where g.key = d.key;

-- name: drawn_by_schemas
-- The feature whose units events of schema versions draw, and the attribute that says how many.
select v.key as version, d.feature, d.attribute, f.wire_id
from event_schema_version v join feature_schema d on d.event_schema = v.event_schema join feature f on f.key = d.feature
where v.key = any($1::int[]);

-- name: wrong_grants
-- Grants whose entries do not sum to what they hold, or whose draws not to what is used.
select g.key, g.workspace, coalesce(e.held, 0) as entered, coalesce(e.drawn, 0) as drawn, g.used,
    case when g.granted is null then -g.used when g.voided_at is null then g.granted - g.used else 0 end as held
from feature_grant g
left join (select feature_grant, sum(amount) as held,
        -sum(amount) filter (where kind in ('DRAW', 'RETURN', 'SETTLE')) as drawn
    from feature_entry group by feature_grant) e on e.feature_grant = g.key
where coalesce(e.drawn, 0) <> g.used or coalesce(e.held, 0)
    <> case when g.granted is null then -g.used when g.voided_at is null then g.granted - g.used else 0 end
order by g.key limit 20;

-- name: wrong_feature_balances
-- Balances that are not what is left of their grants.
select b.key, b.workspace, b.balance, coalesce(sum(g.granted - g.used), 0) as left_over
from feature_balance b left join feature_grant g on g.feature_balance = b.key and g.voided_at is null
group by b.key having b.balance <> coalesce(sum(g.granted - g.used), 0) order by b.key limit 20;

-- name: draws_without_event
-- Units that are drawn for an event that was not let in, or is of another account; and more that came back than was drawn.
select min(n.key) as key, n.workspace from feature_entry n
join feature_grant g on g.key = n.feature_grant join feature_balance b on b.key = g.feature_balance
left join event_key e on e.id_hash = n.event and e.workspace = n.workspace and e.account = b.account and e.state > 0
    and e.state <> 5
where n.event is not null group by n.workspace, n.event, n.feature_grant, e.id_hash
having sum(n.amount) > 0 or (sum(n.amount) < 0 and e.id_hash is null) order by 1 limit 20;
