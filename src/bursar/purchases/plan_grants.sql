-- name: grants_of_plans
-- Grants of accounts that associations gave and that are not over at an instant, the balances of their features held.
select g.key, g.wire_id, g.schedule, g.source, g.effective_from, g.effective_until, g.granted,
    g.feature_balance, b.account, b.feature
from feature_grant g join feature_balance b on b.key = g.feature_balance
where g.workspace = $1 and b.account = any($2::bigint[]) and g.schedule is not null and g.voided_at is null
    and g.effective_until > $3
order by b.key, g.key for no key update of b;

-- name: known_grants
-- Which of these an association of an account has given already, whatever became of them.
select b.feature, g.wire_id from feature_grant g join feature_balance b on b.key = g.feature_balance
where g.workspace = $1 and b.account = $2 and g.schedule is not null and g.wire_id = any($3::text[]);

-- name: cut_grant
-- Let a grant end at an instant.
update feature_grant set effective_until = $3 where workspace = $1 and key = $2;

-- name: overage_used
-- What was used beyond what was granted, by associations, the beginnings of billing periods, and features.
select w.place::int as place, coalesce(sum(g.used), 0) as used
from unnest($2::text[], $3::timestamptz[], $4::int[]) with ordinality as w (schedule, starts_at, feature, place)
join schedule h on h.workspace = $1 and h.wire_id = w.schedule
left join feature_balance b on b.account = h.account and b.feature = w.feature
left join feature_grant g on g.feature_balance = b.key and g.schedule = h.key and g.source = 'OVERAGE'
    and g.effective_from = w.starts_at
group by w.place;

-- name: stray_plan_grants
-- Grants of associations that are another account's, or do not bear their name.
select g.key, g.workspace, g.wire_id from feature_grant g join feature_balance b on b.key = g.feature_balance
join schedule s on s.key = g.schedule
where s.account <> b.account or g.wire_id not like s.wire_id || '#%' or g.source not in ('PRICE_PLAN', 'OVERAGE')
order by g.key limit 20;
