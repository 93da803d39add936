-- name: find_account
-- What a change of schedules needs to know of an account.
select a.key, a.togai_id, p.name, a.status, a.currency, coalesce(a.timezone, w.timezone) as zone, a.closed_until
from account a join account_profile p on p.account = a.key join workspace w on w.key = a.workspace
where a.workspace = $1 and a.togai_id = $2;

-- name: list_segments_of_accounts
-- All segments in force of accounts, in the order of time.
select s.*, h.wire_id as schedule_id, h.starts_at as anchor, p.wire_id as price_plan_id, p.name as price_plan_name,
    v.version as version_number, v.override
from schedule_segment s join schedule h on h.key = s.schedule
join price_plan_version v on v.key = s.price_plan_version join price_plan p on p.key = v.price_plan
where s.workspace = $1 and s.account = any($2::bigint[]) and s.superseded_at is null
order by s.starts_at;

-- name: list_segments_of_plan
-- The segments in force on versions up to $4 of a plan, of associations that at $5 are or will be on versions $3 to $4.
select s.*, h.wire_id as schedule_id, h.starts_at as anchor, p.wire_id as price_plan_id, p.name as price_plan_name,
    v.version as version_number, v.override, a.currency, a.closed_until
from schedule h join schedule_segment s on s.schedule = h.key
join price_plan_version v on v.key = s.price_plan_version join price_plan p on p.key = v.price_plan
join account a on a.key = s.account
where h.workspace = $1 and h.price_plan = $2 and v.version <= $4
    and s.superseded_at is null and a.status <> 'ARCHIVED'
    and exists (select from schedule_segment o join price_plan_version ov on ov.key = o.price_plan_version
        where o.schedule = h.key and o.superseded_at is null and o.ends_at > $5 and ov.version between $3 and $4)
order by s.account, s.starts_at;

-- name: accounts_on_version
-- Accounts that are not archived and are or will be on a version of a plan.
select a.togai_id from account a
where a.workspace = $1 and a.status <> 'ARCHIVED' and exists (
    select from schedule h join schedule_segment s on s.schedule = h.key
    join price_plan_version v on v.key = s.price_plan_version
    where h.account = a.key and h.price_plan = $2 and v.version = $3 and s.superseded_at is null and s.ends_at > $4)
order by a.key;

-- name: account_on_plan
-- An account that is not archived and is or will be on a plan.
select a.togai_id from schedule h join schedule_segment s on s.schedule = h.key join account a on a.key = s.account
where h.workspace = $1 and h.price_plan = $2 and s.superseded_at is null and s.ends_at > $3 and a.status <> 'ARCHIVED'
order by a.key limit 1;

-- name: page_segments
-- A page of the segments in force of an account that overlap [$3, $4), after the one that starts at $5.
select s.*, h.wire_id as schedule_id, h.starts_at as anchor, p.wire_id as price_plan_id, p.name as price_plan_name,
    v.version as version_number, v.override
from schedule_segment s join schedule h on h.key = s.schedule
join price_plan_version v on v.key = s.price_plan_version join price_plan p on p.key = v.price_plan
where s.workspace = $1 and s.account = $2 and s.superseded_at is null
    and s.starts_at < $4 and s.ends_at > $3 and ($5::timestamptz is null or s.starts_at > $5)
order by s.starts_at limit $6;

-- name: list_segments
-- Segments by their keys, superseded or not.
select s.*, h.wire_id as schedule_id, h.starts_at as anchor, p.wire_id as price_plan_id, p.name as price_plan_name,
    v.version as version_number, v.override
from schedule_segment s join schedule h on h.key = s.schedule
join price_plan_version v on v.key = s.price_plan_version join price_plan p on p.key = v.price_plan
where s.workspace = $1 and s.key = any($2::bigint[]);

-- name: version_of_schedule
-- The plan version of a pricing schedule of plan $2: the last revision of a version with the id $3, or the one of an
-- association with that id: what began last before $4, or else begins first.
(select v.key from price_plan p join price_plan_version v on v.price_plan = p.key
where p.workspace = $1 and p.wire_id = $2 and v.wire_id = $3 and v.override_of is null
order by v.revision desc limit 1)
union all
(select s.price_plan_version from schedule h join price_plan p on p.key = h.price_plan
join schedule_segment s on s.schedule = h.key
where h.workspace = $1 and p.wire_id = $2 and h.wire_id = $3 and s.superseded_at is null
order by s.starts_at <= $4 desc, abs(extract(epoch from s.starts_at - $4)) limit 1)
limit 1;

-- name: insert_schedule
-- A new association of a plan with an account.
insert into schedule (workspace, wire_id, account, price_plan, starts_at, recorded_at)
values ($1, $2, $3, $4, $5, $6) returning key;

-- name: supersede_segments
-- Segments cease to hold; invoicing settles the drafts of those whose cycles had begun to open.
update schedule_segment
set superseded_at = $3, opens_at = case when opens_at is distinct from starts_at then '-infinity'::timestamptz end
where workspace = $1 and key = any($2::bigint[]);

-- name: insert_segments
-- Plan versions hold for accounts in their periods.
insert into schedule_segment
    (workspace, schedule, account, price_plan_version, starts_at, ends_at, calendar, grace_days, recorded_at, opens_at)
select $1, schedule, account, version, starts_at, ends_at, calendar::jsonb, grace_days, $2, starts_at
from unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::int[])
    as n (schedule, account, version, starts_at, ends_at, calendar, grace_days);

-- name: some_due
-- Whether invoicing has anything to look at by $3.
select exists (select from schedule_segment
    where workspace = $1 and ($2::bigint is null or account = $2) and opens_at <= $3);

-- name: lock_due
-- The accounts of segments that invoicing must look at by $3, the segments held until the transaction ends.
select account from schedule_segment
where workspace = $1 and ($2::bigint is null or account = $2) and opens_at <= $3
order by key limit $4 for update;

-- name: list_due
-- The segments of these accounts that invoicing must look at by $3.
select s.*, h.wire_id as schedule_id, h.starts_at as anchor, p.wire_id as price_plan_id, p.name as price_plan_name,
    v.version as version_number, v.override
from schedule_segment s join schedule h on h.key = s.schedule
join price_plan_version v on v.key = s.price_plan_version join price_plan p on p.key = v.price_plan
where s.workspace = $1 and s.account = any($2::bigint[]) and s.opens_at <= $3
order by s.key for update of s;

-- name: set_opens_at
-- When invoicing looks at segments next; null: never again.
update schedule_segment s set opens_at = due.opens_at
from unnest($2::bigint[], $3::timestamptz[]) as due (segment, opens_at)
where s.workspace = $1 and s.key = due.segment;
