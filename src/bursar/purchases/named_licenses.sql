-- name: name_history
-- Of accounts and add-ons, how many names have the licence from each event on, before an instant. A name that has it already
-- does not get it again, one that has not does not lose it.
with live as (
    select w.place, n.key, n.name, n.change, n.occurred_at,
        lag(n.change) over (partition by w.place, n.name order by n.occurred_at, n.key) as before
    from unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) with ordinality as w (account, add_on, until, place)
    join named_license_event n on n.account = w.account and n.add_on = w.add_on and n.occurred_at < w.until
    join event_key e on e.id_hash = n.event and e.state in (1, 2, 3)
    where n.workspace = $1
)
select place::int as place, occurred_at as effective_from, sum(change) over (partition by place
    order by occurred_at, key rows unbounded preceding)::numeric as quantity
from live where coalesce(before, -1) <> change order by place, occurred_at, key;

-- name: list_named
-- The newest entries before a key: names with the event that gave the licence, and the one that took it.
select n.key, n.event, n.name, n.occurred_at, n.received_at, a.togai_id as account_id, d.wire_id as license_id,
    x.occurred_at as until, x.received_at as ended_at
from named_license_event n join event_key e on e.id_hash = n.event and e.state in (1, 2, 3)
join account a on a.key = n.account join add_on d on d.key = n.add_on
left join lateral (
    select p.change from named_license_event p join event_key k on k.id_hash = p.event and k.state in (1, 2, 3)
    where p.account = n.account and p.add_on = n.add_on and p.name = n.name and (p.occurred_at, p.key) < (n.occurred_at, n.key)
    order by p.occurred_at desc, p.key desc limit 1
) b on true
left join lateral (
    select p.occurred_at, p.received_at from named_license_event p
    join event_key k on k.id_hash = p.event and k.state in (1, 2, 3)
    where p.account = n.account and p.add_on = n.add_on and p.name = n.name and p.change = -1
        and (p.occurred_at, p.key) > (n.occurred_at, n.key)
    order by p.occurred_at, p.key limit 1
) x on true
where n.workspace = $1 and n.change = 1 and coalesce(b.change, -1) = -1 and ($2::bigint is null or n.key < $2)
order by n.key desc limit $3;

-- name: names_of
-- Which accounts have, or had, licences by names, and of what.
select distinct n.account, n.add_on, d.wire_id as license_id
from named_license_event n join add_on d on d.key = n.add_on
where n.workspace = $1 and ($2::bigint[] is null or n.account = any($2)) and ($3::text[] is null or d.wire_id = any($3))
order by n.account, n.add_on;
