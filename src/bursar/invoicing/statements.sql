-- name: statement_account
-- The account that a carrier's door calls by a number, where it has not deleted it.
select a.key, a.currency, coalesce(a.timezone, w.timezone) as zone
from account a join account_terms t on t.account = a.key join workspace w on w.key = a.workspace
where a.workspace = $1 and a.yeti_id = $2 and t.hidden_at is null;

-- name: overlapping_statement
-- A statement of an account that shares an instant with a window.
select key from statement where workspace = $1 and account = $2 and tstzrange(starts_at, ends_at) && tstzrange($3, $4) limit 1;

-- name: last_ends
-- Up to where accounts have statements.
select account, max(ends_at) as ends_at from statement where workspace = $1 and account = any($2::bigint[]) group by account;

-- name: insert_statements
-- New statements, at most one of each account, numbered in order; `$id` of their references becomes the number.
with numbered as materialized (
    select n.*, nextval(format('yeti_object_%s', $1::int)::regclass) as id
    from unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[]) with ordinality
        as n (account, currency, reference, type, starts_at, ends_at, place) order by n.place
)
insert into statement (workspace, yeti_id, account, currency, reference, state, type, starts_at, ends_at, created_at)
select $1, id, account, currency, replace(reference, '$id', id::text), 'New', type, starts_at, ends_at, $2 from numbered
returning key, yeti_id, account, ends_at;

-- name: take_new
-- Statements that are to be filled, the oldest first; another worker's are passed over.
select key, yeti_id, account, ends_at from statement
where workspace = $1 and state = 'New' order by key limit $2 for update skip locked;

-- name: workspaces_with_new
-- Workspaces with statements to be filled.
select distinct workspace from statement where state = 'New';

-- name: insert_services
-- What was charged in the windows of statements, by service and sign.
insert into statement_service (workspace, yeti_id, statement, service, spent, amount, transactions_count)
select $1, nextval(format('yeti_object_%s', $1::int)::regclass), g.*
from (
    select s.key, c.service, c.amount > 0 as spent, sum(abs(c.amount)), count(*)
    from statement s join charge c on c.account = s.account and c.created_at >= s.starts_at and c.created_at < s.ends_at
    where s.workspace = $1 and c.workspace = $1 and s.key = any($2::bigint[]) and s.state = 'New'
    group by s.key, c.service, spent order by s.key, c.service nulls last, spent desc
) g;

-- name: sum_statements
-- Statements are filled: their totals are those of their breakdown.
with calls as materialized (
    select statement, side, sum(amount) filter (where spent) as spent, sum(amount) filter (where not spent) as earned,
        sum(calls_count) as calls, sum(successful_calls_count) as successful, sum(calls_duration) as duration,
        sum(billing_duration) as billed, min(first_call_at) as first_at, max(last_call_at) as last_at
    from statement_destination where statement = any($2::bigint[]) group by statement, side
), services as materialized (
    select statement, sum(amount) filter (where spent) as spent, sum(amount) filter (where not spent) as earned,
        sum(transactions_count) as transactions
    from statement_service where statement = any($2::bigint[]) group by statement
)
update statement s set state = 'Pending',
    originated_amount_spent = coalesce(o.spent, 0), originated_amount_earned = coalesce(o.earned, 0),
    originated_calls_count = coalesce(o.calls, 0), originated_successful_calls_count = coalesce(o.successful, 0),
    originated_calls_duration = coalesce(o.duration, 0), originated_billing_duration = coalesce(o.billed, 0),
    originated_first_call_at = o.first_at, originated_last_call_at = o.last_at,
    terminated_amount_spent = coalesce(t.spent, 0), terminated_amount_earned = coalesce(t.earned, 0),
    terminated_calls_count = coalesce(t.calls, 0), terminated_successful_calls_count = coalesce(t.successful, 0),
    terminated_calls_duration = coalesce(t.duration, 0), terminated_billing_duration = coalesce(t.billed, 0),
    terminated_first_call_at = t.first_at, terminated_last_call_at = t.last_at,
    services_amount_spent = coalesce(v.spent, 0), services_amount_earned = coalesce(v.earned, 0),
    service_transactions_count = coalesce(v.transactions, 0)
from unnest($2::bigint[]) as k (key)
left join calls o on o.statement = k.key and o.side = 'originated'
left join calls t on t.statement = k.key and t.side = 'terminated'
left join services v on v.statement = k.key
where s.workspace = $1 and s.key = k.key and s.state = 'New' returning s.key;

-- name: lock_statement
-- A statement by its number, kept from changing.
select key, state, account from statement where workspace = $1 and yeti_id = $2 for update;

-- name: approve_statements
-- Statements are approved.
update statement set state = 'Approved', approved_at = $3 where workspace = $1 and key = any($2::bigint[]) and state = 'Pending';

-- name: delete_statement
-- A statement and its breakdown go.
with destinations as (delete from statement_destination where workspace = $1 and statement = $2),
    networks as (delete from statement_network where workspace = $1 and statement = $2),
    services as (delete from statement_service where workspace = $1 and statement = $2)
delete from statement where workspace = $1 and key = $2;

-- name: list_statements
-- Statements as a carrier's door shows them.
select s.*, s.yeti_id as id, a.yeti_id as account_id, t.uuid as account_uuid
from statement s join account a on a.key = s.account join account_terms t on t.account = s.account
where s.workspace = $1;

-- name: list_destinations
-- Calls of statements by destination, of one side.
select d.*, d.yeti_id as id, s.yeti_id as invoice_id, a.yeti_id as account_id
from statement_destination d join statement s on s.key = d.statement join account a on a.key = s.account
where d.workspace = $1 and d.side = $2;

-- name: list_networks
-- Calls of statements by network, of one side.
select d.*, d.yeti_id as id, s.yeti_id as invoice_id, a.yeti_id as account_id
from statement_network d join statement s on s.key = d.statement join account a on a.key = s.account
where d.workspace = $1 and d.side = $2;

-- name: list_services
-- What statements have of services.
select d.*, d.yeti_id as id, s.yeti_id as invoice_id, a.yeti_id as account_id, v.yeti_id as service_id
from statement_service d join statement s on s.key = d.statement join account a on a.key = s.account
left join service v on v.key = d.service
where d.workspace = $1;

-- name: keep_failures
-- Why accounts' next statements could not be made; what is known already keeps its time.
insert into statement_failure (account, workspace, ends_at, error, recorded_at)
select account, $1, ends_at, $3, $2 from unnest($4::bigint[], $5::timestamptz[]) as f (account, ends_at)
on conflict (account) do update set ends_at = excluded.ends_at, error = excluded.error, recorded_at = excluded.recorded_at
where (statement_failure.ends_at, statement_failure.error) <> (excluded.ends_at, excluded.error);

-- name: drop_failures
-- Accounts got their statements.
delete from statement_failure where workspace = $1 and account = any($2::bigint[]);

-- name: list_failures
-- Accounts after a key whose next statement cannot be made as things stand.
select f.account, a.togai_id, a.yeti_id, f.ends_at, f.error, f.recorded_at
from statement_failure f join account a on a.key = f.account join account_terms t on t.account = f.account
where f.workspace = $1 and f.account > $2 and t.next_invoice_at = f.ends_at and t.hidden_at is null
order by f.account limit $3;

-- name: insert_template
-- A template; nothing where the name is taken.
insert into invoice_template (workspace, yeti_id, name, html_template)
values ($1, nextval(format('yeti_object_%s', $1::int)::regclass), $2, $3) on conflict (workspace, name) do nothing
returning yeti_id;

-- name: lock_template
-- A template by its number, kept from changing.
select key, name, html_template from invoice_template where workspace = $1 and yeti_id = $2 for update;

-- name: template_named
-- Another template of a name.
select key from invoice_template where workspace = $1 and name = $2 and yeti_id <> $3;

-- name: update_template
-- Change a template.
update invoice_template set name = $3, html_template = $4 where workspace = $1 and key = $2;

-- name: delete_template
-- A template goes.
delete from invoice_template where workspace = $1 and key = $2;

-- name: list_templates
-- Templates as a carrier's door shows them.
select i.*, i.yeti_id as id from invoice_template i where i.workspace = $1;

-- name: wrong_totals
-- Filled statements whose totals differ from their breakdown, and new ones that have one.
select s.yeti_id, s.workspace from statement s
left join (
    select statement, sum(amount) filter (where spent and side = 'originated') as o_spent,
        sum(amount) filter (where not spent and side = 'originated') as o_earned,
        sum(amount) filter (where spent and side = 'terminated') as t_spent,
        sum(amount) filter (where not spent and side = 'terminated') as t_earned,
        sum(calls_count) filter (where side = 'originated') as o_calls,
        sum(calls_count) filter (where side = 'terminated') as t_calls
    from statement_destination group by statement) d on d.statement = s.key
left join (
    select statement, sum(amount) filter (where spent) as spent, sum(amount) filter (where not spent) as earned,
        sum(transactions_count) as transactions
    from statement_service group by statement) v on v.statement = s.key
where (s.originated_amount_spent, s.originated_amount_earned, s.terminated_amount_spent, s.terminated_amount_earned,
        s.originated_calls_count, s.terminated_calls_count, s.services_amount_spent, s.services_amount_earned,
        s.service_transactions_count)
    <> (coalesce(d.o_spent, 0), coalesce(d.o_earned, 0), coalesce(d.t_spent, 0), coalesce(d.t_earned, 0),
        coalesce(d.o_calls, 0), coalesce(d.t_calls, 0), coalesce(v.spent, 0), coalesce(v.earned, 0),
        coalesce(v.transactions, 0))
    or (s.state = 'New' and (d.statement is not null or v.statement is not null))
    or s.amount_total <> coalesce(d.o_spent, 0) + coalesce(d.t_spent, 0) + coalesce(v.spent, 0)
        - coalesce(d.o_earned, 0) - coalesce(d.t_earned, 0) - coalesce(v.earned, 0)
order by s.key limit 20;

-- name: wrong_networks
-- Statements of which the calls by network are not those by destination.
with destinations as (
    select statement, side, country, network, rate, spent, sum(amount) as amount, sum(calls_count) as calls
    from statement_destination group by statement, side, country, network, rate, spent
), networks as (
    select statement, side, country, network, rate, spent, sum(amount) as amount, sum(calls_count) as calls
    from statement_network group by statement, side, country, network, rate, spent
)
select distinct s.yeti_id, s.workspace from (
    (select * from destinations except select * from networks) union all
    (select * from networks except select * from destinations)) x
join statement s on s.key = x.statement limit 20;

-- name: wrong_services
-- Filled statements whose services are not what was charged in their windows.
with charged as (
    select s.key as statement, c.service, c.amount > 0 as spent, sum(abs(c.amount)) as amount, count(*) as transactions
    from statement s join charge c on c.account = s.account and c.created_at >= s.starts_at and c.created_at < s.ends_at
    where s.state <> 'New' group by s.key, c.service, c.amount > 0
), stated as (
    select statement, service, spent, amount, transactions_count as transactions from statement_service
)
select distinct s.yeti_id, s.workspace from (
    (select * from charged except select * from stated) union all (select * from stated except select * from charged)) x
join statement s on s.key = x.statement limit 20;

-- name: overlapping_statements
-- Statements that begin before the account's one before has ended.
select yeti_id, workspace from (
    select yeti_id, workspace, starts_at, max(ends_at) over (partition by account order by starts_at, key
        rows between unbounded preceding and 1 preceding) as before
    from statement) s
where starts_at < before limit 20;

-- name: statements_ahead
-- Accounts whose next automatic statement does not come after those that were made.
select a.yeti_id, a.workspace from account_terms t join account a on a.key = t.account
where t.next_invoice_at is not null and exists (
    select from statement s where s.account = t.account and s.type <> 'Manual' and s.ends_at >= t.next_invoice_at)
    and not exists (select from statement_failure f where f.account = t.account and f.ends_at = t.next_invoice_at)
limit 20;
