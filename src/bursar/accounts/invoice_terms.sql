-- name: invoice_terms
-- When and how accounts are invoiced; kept from changing, and from charges, until the transaction ends.
select t.account, t.invoice_period, t.next_invoice_at, t.next_invoice_type, coalesce(a.timezone, w.timezone) as zone, a.currency
from account_terms t join account a on a.key = t.account join workspace w on w.key = t.workspace
where t.workspace = $1 and t.account = any($2::bigint[]) order by t.account for update of t;

-- name: take_due_invoice_terms
-- Accounts whose next invoice is due, but those given, the longest due first; another worker's are passed over.
select t.account, t.invoice_period, t.next_invoice_at, t.next_invoice_type, coalesce(a.timezone, w.timezone) as zone, a.currency
from account_terms t join account a on a.key = t.account join workspace w on w.key = t.workspace
where t.workspace = $1 and t.next_invoice_at <= $2::timestamptz and t.hidden_at is null
    and t.next_invoice_at + make_interval(secs => coalesce(t.max_call_duration, $3::int)) <= $2::timestamptz
    and t.account <> all($4::bigint[])
order by t.next_invoice_at, t.account limit $5 for update of t skip locked;

-- name: advance_invoices
-- Accounts were invoiced: when they are next.
update account_terms t set next_invoice_at = n.at, next_invoice_type = n.type
from unnest($2::bigint[], $3::timestamptz[], $4::smallint[]) as n (account, at, type)
where t.workspace = $1 and t.account = n.account;

-- name: state_accounts
-- Statements of accounts are filled up to some instants.
update account_terms t set stated_until = greatest(t.stated_until, s.until)
from (select account, max(until) as until from unnest($2::bigint[], $3::timestamptz[]) as u (account, until)
    group by account) s
where t.workspace = $1 and t.account = s.account;

-- name: statement_settings
-- The settings of statements that hold for accounts: their own, else their customers', else the workspace's.
select distinct on (a.key, s.setting_id) a.key as account, s.setting_id, s.value
from account a join customer c on c.key = a.customer join workspace w on w.key = a.workspace
cross join lateral (values ('ACCOUNT', a.togai_id, 1), ('CUSTOMER', c.togai_id, 2), ('ORGANIZATION', w.name, 3))
    as e (type, id, place)
join setting s on s.workspace = $1 and s.namespace = 'STATEMENT' and s.entity_type = e.type and s.entity_id = e.id
where a.workspace = $1 and a.key = any($2::bigint[])
order by a.key, s.setting_id, e.place;
