-- name: open_invoices
-- Make the invoice of each billing period; one whose period has changed follows it for as long as it is a draft.
insert into invoice (workspace, wire_id, account, schedule, segment, type, class, status, starts_at, ends_at, due_at,
    created_at, updated_at)
select $1, wire_id, account, schedule, segment, type, 'INVOICE', 'DRAFT', starts_at, ends_at, due_at, $2, $2
from unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[], $8::timestamptz[],
    $9::timestamptz[], $10::text[]) as p (wire_id, account, schedule, segment, starts_at, ends_at, due_at, type)
order by account, schedule, starts_at, type
on conflict (account, schedule, starts_at, type) where schedule is not null do update
set segment = excluded.segment, ends_at = excluded.ends_at, due_at = excluded.due_at, updated_at = excluded.updated_at
where invoice.status = 'DRAFT' and invoice.segment <> excluded.segment
returning xmax = 0 as made;

-- name: withdraw_drafts
-- Take away drafts of billing periods that no longer exist: no segment in force begins or goes on with them.
delete from invoice where workspace = $1 and segment = any($2::bigint[]) and status = 'DRAFT';

-- name: uncharged_credits
-- Credits of associations with something left, whose cycle no longer begins and was not invoiced; not of those that were bought.
select n.credit from plan_credit n join credit c on c.key = n.credit
where n.workspace = $1 and n.schedule = any($2::bigint[]) and c.voided_at is null and c.granted > c.consumed + c.lapsed
    and not exists (select from schedule_segment s where s.schedule = n.schedule and s.superseded_at is null
        and s.starts_at <= n.starts_at and s.ends_at > n.starts_at)
    and not exists (select from invoice i where i.schedule = n.schedule and i.status <> 'DRAFT'
        and i.starts_at <= n.starts_at and i.ends_at > n.starts_at)
    and not exists (select from purchase p where p.schedule = n.schedule)
order by n.credit;

-- name: lock_advances
-- The invoices of fees in advance of schedules that reach beyond $3, held: who is issuing one comes first.
select schedule, ends_at, status from invoice
where workspace = $1 and schedule = any($2::bigint[]) and type = 'STANDARD_ADVANCED' and ends_at > $3
order by key for update;

-- name: list_advances
-- The invoices in advance of associations by their ids, each with the time in which its own are looked for.
select i.key, w.place::int as place from unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) with ordinality
    as w (schedule, since, until, place)
join schedule h on h.workspace = $1 and h.wire_id = w.schedule
join invoice i on i.account = h.account and i.schedule = h.key and i.type = 'STANDARD_ADVANCED'
    and i.starts_at < w.until and i.ends_at > w.since
order by i.key;

-- name: set_release_at
-- When the next part of fees charged in advance becomes revenue; null: nothing is left.
update invoice i set release_at = n.release_at
from unnest($2::bigint[], $3::timestamptz[]) as n (invoice, release_at) where i.workspace = $1 and i.key = n.invoice;

-- name: lock_releases
-- Invoices of which something has become revenue by $2; those that another run holds are left to it.
select i.key, i.account, i.release_at, d.content from invoice i join invoice_document d on d.invoice = i.key
where i.workspace = $1 and i.release_at <= $2 order by i.release_at, i.key limit $3 for update of i skip locked;

-- name: find_key
-- The key and account of an invoice by its wire id.
select key, account from invoice where workspace = $1 and wire_id = $2;

-- name: list_keys
-- The newest invoices that match, before a key.
select i.key from invoice i join account a on a.key = i.account join customer c on c.key = a.customer
left join invoice_group g on g.key = i.invoice_group
where i.workspace = $1 and ($2::text is null or i.status = $2) and ($3::text is null or coalesce(g.wire_id, a.togai_id) = $3)
    and ($4::text is null or c.togai_id = $4)
    and ($5::timestamptz is null or i.starts_at >= $5) and ($6::timestamptz is null or i.starts_at < $6)
    and ($7::bigint is null or i.key < $7)
    and ($9::timestamptz is null or i.status = 'DRAFT' and (i.schedule is not null or i.type = 'CUSTOM')
        and i.auto_advance and i.due_at <= $9)
order by i.key desc limit $8;

-- name: list_invoices
-- Invoices by key with all that their documents say of parties and terms, and the frozen document of issued ones.
-- In two parts, each of which PostgreSQL plans by itself: all the orders in which so many tables can be joined take it fifty
-- times as long to weigh as the statement takes to run. How many keys there are is kept from it, lest it plan anew each time.
with found as materialized (
    select i.key, i.wire_id, i.workspace, i.account, i.type, i.class, i.status, i.starts_at, i.ends_at, i.due_at,
        i.paid_amount, i.updated_at, i.uses_credits, i.uses_wallet, i.auto_advance, i.invoice_group,
        s.calendar, s.price_plan_version, h.wire_id as schedule_id, h.starts_at as anchor, d.content, d.parties, d.issued_at, n.number as credit_note
    from invoice i left join schedule_segment s on s.key = i.segment left join schedule h on h.key = i.schedule
    left join invoice_document d on d.invoice = i.key left join credit_note n on n.invoice = i.key
    where i.workspace = $1 and i.key = any(array(select unnest($2::bigint[])))
)
select f.*, o.*, w.name as workspace_name, w.seller, coalesce(o.own_net_term_days, w.net_term_days) as net_term_days,
    coalesce(o.own_zone, w.timezone) as zone, w.timezone as workspace_zone, w.net_term_days as workspace_net_term_days
from found f join workspace w on w.key = f.workspace
cross join lateral (
    select a.togai_id as account_id, a.currency, x.exponent, a.net_term_days as own_net_term_days, a.timezone as own_zone,
        p.name as account_name, coalesce(p.primary_email, q.primary_email) as account_email,
        coalesce(p.address, q.address) as account_address, c.togai_id as customer_id, q.name as customer_name,
        q.primary_email as customer_email, q.address as customer_address, q.secret
    from account a join account_profile p on p.account = a.key
    join customer c on c.key = a.customer join customer_profile q on q.customer = c.key
    join currency x on x.workspace = a.workspace and x.code = a.currency
    where a.key = f.account offset 0
) o;

-- name: lock_invoice
-- An invoice by its wire id, held until the transaction ends, and when the next part of its fees becomes revenue.
select key, type, status, release_at from invoice where workspace = $1 and wire_id = $2 for update;

-- name: settle
-- Move an issued invoice to a state, with what has been paid of it.
update invoice set status = $3, paid_amount = $4, release_at = $5, updated_at = $6 where workspace = $1 and key = $2;

-- name: insert_credit_note
-- Freeze a credit note.
insert into credit_note (workspace, wire_id, invoice, series, number, currency, total, content, parties, hash, issued_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: credit_notes
-- Credit notes of all workspaces after a key, with the invoices that they reduce.
select n.*, i.wire_id as invoice_id, i.status, d.total as invoice_total
from credit_note n join invoice i on i.key = n.invoice join invoice_document d on d.invoice = n.invoice
where n.key > $1 order by n.key limit $2;

-- name: voided_without_note
-- Invoices that were taken back and have no credit note.
select i.wire_id from invoice i left join credit_note n on n.invoice = i.key
where i.status in ('VOID', 'REFUND_INITIATED', 'REFUND_COMPLETED') and n.key is null limit 20;

-- name: receivables_left
-- What the postings of invoices and of what became of them have left receivable.
select i.key as invoice, (
    select coalesce(sum(p.amount), 0) from ledger_transaction t join posting p on p.transaction = t.key
    where t.workspace = $1 and t.cause in ('invoice', 'settlement', 'credit_note', 'refund') and t.cause_key = i.key
        and p.ledger_account = any(array(select a.key from ledger_account a
            where a.workspace = $1 and a.kind = 'receivable' and a.account = i.account))
    ) as amount
from invoice i where i.workspace = $1 and i.key = any($2::bigint[]);

-- name: list_meters
-- Usage meters by key in the newest version that was ever in force, else the newest.
select distinct on (m.key) m.key, m.wire_id, m.name, v.version, v.definition
from usage_meter m join usage_meter_version v on v.usage_meter = m.key
where m.workspace = $1 and m.key = any($2::int[])
order by m.key, v.active_from is null, v.version desc;

-- name: count_due
-- How many drafts are due.
select (select count(*) from invoice
    where workspace = $1 and status = 'DRAFT' and schedule is not null and due_at <= $2)
    + (select count(*) from invoice
    where workspace = $1 and status = 'DRAFT' and type = 'CUSTOM' and auto_advance and due_at <= $2);

-- name: list_due
-- Drafts that are due, in the order in which they are issued.
select wire_id from (
    select wire_id, due_at, key from invoice
    where workspace = $1 and status = 'DRAFT' and schedule is not null and due_at <= $2
    union all
    select wire_id, due_at, key from invoice
    where workspace = $1 and status = 'DRAFT' and type = 'CUSTOM' and auto_advance and due_at <= $2
) d order by due_at, key;

-- name: hold_statuses
-- The states of invoices, kept until the transaction ends; what another run is issuing is waited for.
select wire_id, status from invoice where workspace = $1 and wire_id = any($2::text[]) order by key for share;

-- name: list_to_close
-- Due drafts whose period is not yet closed to events; those after a draft of the account that still has grace wait.
select i.account, i.starts_at, i.ends_at
from invoice i join account a on a.key = i.account
where i.workspace = $1 and i.status = 'DRAFT' and i.type = 'STANDARD' and i.schedule is not null and i.due_at <= $2
    and (a.closed_until is null or a.closed_until < i.ends_at or a.closed_from > i.starts_at)
    and i.starts_at <= coalesce((select min(e.starts_at) from invoice e where e.account = i.account
        and e.status = 'DRAFT' and e.type = i.type and coalesce(e.schedule, 0) <> 0 and e.due_at > $2), 'infinity')
order by i.due_at, i.key limit $3;

-- name: some_unsettled
-- Whether the schedules of these accounts have changed since their cycles were opened.
select exists (select from schedule_segment
    where workspace = $1 and account = any($2::bigint[]) and opens_at <= $3);

-- name: join_runs
-- Choose invoices as other runs of the workspace do: whoever has some in hand is found by `await_runs` until it commits.
select pg_advisory_xact_lock_shared(7215007, $1);

-- name: await_runs
-- Wait until no other run of the workspace has invoices in hand, and keep others from choosing some meanwhile.
select pg_advisory_xact_lock(7215007, $1);

-- name: lock_due
-- The next due drafts of closed periods, at most one of an account and type so that its cycles are issued in order;
-- those that another run holds are left to it. Fees in advance need no closing, but schedules that are settled; what was
-- used waits for the invoice in advance of its time, of which it takes off what was charged.
-- (coalesce: the index of all due drafts must not serve to find the first of an account, for which it looks as good as
-- the account's own while statistics are young.)
select i.key from invoice i join account a on a.key = i.account
where i.workspace = $1 and i.status = 'DRAFT' and i.schedule is not null and i.due_at <= $2
    and case when i.type = 'STANDARD' then a.closed_from <= i.starts_at and a.closed_until >= i.ends_at
        else not exists (select from schedule_segment s where s.account = i.account and s.opens_at <= $2) end
    and i.key <> all($3::bigint[])
    and (i.type <> 'STANDARD' or not exists (select from invoice e where e.account = i.account
        and coalesce(e.schedule, 0) = i.schedule and e.starts_at < i.ends_at and e.type = 'STANDARD_ADVANCED' and e.status = 'DRAFT' and e.key <> all($3)))
    and i.starts_at = (select min(e.starts_at) from invoice e where e.account = i.account and e.status = 'DRAFT'
        and e.type = i.type and coalesce(e.schedule, 0) <> 0)
order by i.due_at, i.key limit $4 for update of i skip locked;

-- name: draw_numbers
-- Draw so many numbers of a series; the last one comes back. The series is held until the transaction ends.
insert into invoice_series (workspace, series, next) values ($1, $2, 1 + $3::bigint)
on conflict (workspace, series) do update set next = invoice_series.next + $3
returning next - 1 as last;

-- name: insert_documents
-- Freeze documents.
insert into invoice_document
    (workspace, series, issued_at, invoice, number, currency, total, content, parties, hash, invoice_date, pay_by)
select $1, $2, $3, invoice, number, currency, total, content, parties, hash, invoice_date, pay_by
from unnest($4::bigint[], $5::bigint[], $6::text[], $7::numeric[], $8::bytea[], $9::bytea[], $10::bytea[], $11::timestamptz[],
    $12::timestamptz[]) as d (invoice, number, currency, total, content, parties, hash, invoice_date, pay_by);

-- name: set_statuses
-- Move invoices to their states.
update invoice i set status = n.status, updated_at = $2
from unnest($3::bigint[], $4::text[]) as n (invoice, status) where i.workspace = $1 and i.key = n.invoice;

-- name: list_periods
-- The billing periods of usage that overlap [$2, $3), with the prices that hold in them.
select i.account, i.starts_at, i.ends_at, i.due_at, s.price_plan_version, a.currency
from invoice i join schedule_segment s on s.key = i.segment join account a on a.key = i.account
where i.workspace = $1 and i.type = 'STANDARD' and i.starts_at < $3 and i.ends_at > $2
    and ($4::bigint[] is null or i.account = any($4))
order by i.account, i.starts_at;

-- name: page_documents
-- Frozen documents of all workspaces after an invoice, in the order of their keys.
select d.*, i.wire_id, i.account, i.type, i.status, i.paid_amount from invoice_document d join invoice i on i.key = d.invoice
where d.invoice > $1 order by d.invoice limit $2;

-- name: receivables_posted
-- What was posted as receivable for invoices.
select i.key as invoice, (
    select sum(p.amount) from ledger_transaction t join posting p on p.transaction = t.key
    where t.workspace = $1 and t.cause = 'invoice' and t.cause_key = i.key
        and p.ledger_account = any(array(select a.key from ledger_account a
            where a.workspace = $1 and a.kind = 'receivable' and a.account = i.account))
    ) as amount
from invoice i where i.workspace = $1 and i.key = any($2::bigint[]);

-- name: license_refunds
-- What went back of licences with the issue of invoices: into wallets, and as credits, which are called after their lines.
select i.key as invoice, (select coalesce(-sum(p.amount), 0) from ledger_transaction t join posting p on p.transaction = t.key
        join ledger_account l on l.key = p.ledger_account and l.kind = 'wallet'
        where t.workspace = $1 and t.cause = 'license_refund' and t.cause_key = i.key)
    + (select coalesce(sum(e.amount), 0) from credit c join credit_entry e on e.credit = c.key and e.kind = 'CREDITED'
        and e.invoice_id is null
        where c.workspace = $1 and c.account = i.account and c.idempotency_key like i.wire_id || '/%') as amount
from invoice i where i.workspace = $1 and i.key = any($2::bigint[]);

-- name: deferred_posted
-- What postings have left deferred of invoices, and when the next part of it becomes revenue.
select i.key as invoice, i.release_at, (
    select coalesce(sum(p.amount), 0) from ledger_transaction t join posting p on p.transaction = t.key
    where t.workspace = $1 and t.cause in ('invoice', 'release', 'credit_note') and t.cause_key = i.key
        and p.ledger_account = any(array(select a.key from ledger_account a
            where a.workspace = $1 and a.kind = 'deferred' and a.account = i.account))
    ) as amount
from invoice i where i.workspace = $1 and i.key = any($2::bigint[]);

-- name: overlapping_invoices
-- Invoices of one account whose periods overlap; those in advance, of one schedule.
select wire_id, previous from (
    select i.wire_id, i.starts_at, lag(i.wire_id) over same as previous, max(i.ends_at) over earlier as busy_until
    from invoice i join schedule_segment s on s.key = i.segment
    where i.type in ('STANDARD', 'STANDARD_ADVANCED') and (i.status <> 'DRAFT' or s.superseded_at is null)
    window same as (partition by i.account, i.type, case when i.type <> 'STANDARD' then i.schedule end
            order by i.starts_at),
        earlier as (same rows between unbounded preceding and 1 preceding)
) as o where busy_until > starts_at limit 20;

-- name: untiled_segments
-- Segments in force whose opened cycles do not tile them. Changes that invoicing has yet to follow are left out.
select s.key, s.workspace, s.account, s.starts_at, coalesce(s.opens_at, s.ends_at) as open_until
from schedule_segment s
left join invoice i on i.schedule = s.schedule and i.type = 'STANDARD'
    and i.starts_at >= s.starts_at and i.starts_at < s.ends_at
where s.superseded_at is null and s.opens_at is distinct from s.starts_at
    and not exists (select from schedule_segment c where c.account = s.account and c.opens_at = '-infinity')
group by s.key
having min(i.starts_at) is distinct from s.starts_at
    or max(i.ends_at) is distinct from coalesce(s.opens_at, s.ends_at)
    or sum(i.ends_at - i.starts_at) is distinct from coalesce(s.opens_at, s.ends_at) - s.starts_at
limit 20;

-- name: broken_series
-- Series whose numbers are not exactly 1 to their count, or that would draw a wrong next one.
select coalesce(s.workspace, d.workspace) as workspace, coalesce(s.series, d.series) as series, s.next,
    d.least, d.most, coalesce(d.documents, 0) as documents
from invoice_series s
full join (select workspace, series, min(number) as least, max(number) as most, count(*) as documents
    from (select workspace, series, number from invoice_document
        union all select workspace, series, number from credit_note) n group by workspace, series) d on d.workspace = s.workspace and d.series = s.series
where s.next is distinct from coalesce(d.documents, 0) + 1 or coalesce(d.least, 1) <> 1
    or coalesce(d.most, 0) <> coalesce(d.documents, 0)
limit 20;

-- name: issued_without_document
-- Invoices past DRAFT that have no document, and drafts that have one.
select i.wire_id, i.status from invoice i left join invoice_document d on d.invoice = i.key
where (i.status = 'DRAFT') <> (d.invoice is null) limit 20;
