-- name: list_accounts
-- Accounts as a carrier sees them, with what is in their wallets; $2 is the zone of those that have none of their own.
select a.yeti_id as id, a.key, a.togai_id, a.status = 'ARCHIVED' as archived, c.yeti_id as contractor_id, p.name,
    coalesce(-b.balance, 0) as balance, t.min_balance, t.max_balance, t.vat, t.balance_low_threshold,
    t.balance_high_threshold, t.send_balance_notifications_to, t.destination_rate_limit, t.max_call_duration,
    t.external_id, t.uuid, t.origination_capacity, t.termination_capacity, t.total_capacity, t.send_invoices_to,
    t.invoice_period as invoice_period_id, t.invoice_template as invoice_template_id,
    coalesce(a.timezone, $2::text) as timezone, a.currency
from account a join account_profile p on p.account = a.key join account_terms t on t.account = a.key
join customer c on c.key = a.customer
left join ledger_account l on l.workspace = $1 and l.kind = 'wallet' and l.account = a.key and l.detail = ''
    and l.currency = a.currency
left join ledger_balance b on b.ledger_account = l.key
left join currency y on y.workspace = $1 and y.code = a.currency
where a.workspace = $1 and t.hidden_at is null;

-- name: count_accounts
-- How many accounts a carrier sees in all, as it is kept; $2 is the other parameter of the list.
select coalesce(sum(accounts), 0)::bigint as count from account_count where workspace = $1 and $2::text is not null;
