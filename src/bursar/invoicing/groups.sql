-- name: insert_group
-- Make a group.
insert into invoice_group (workspace, wire_id, name, email, address, secret, consolidates, net_term_days, currency, created_at,
    updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) returning key;

-- name: lock_group
-- A group that is not deleted, held until the transaction ends. Whoever changes or merges it comes here first.
select key from invoice_group where workspace = $1 and wire_id = $2 and deleted_at is null for update;

-- name: groups
-- Groups that are not deleted, after a key, with the number of their accounts.
select g.*, (select count(*) from invoice_group_account m where m.invoice_group = g.key) as accounts_count
from invoice_group g where g.workspace = $1 and g.deleted_at is null and g.key > $2 order by g.key limit $3;

-- name: group_by_id
-- A group that is not deleted.
select g.*, (select count(*) from invoice_group_account m where m.invoice_group = g.key) as accounts_count
from invoice_group g where g.workspace = $1 and g.wire_id = $2 and g.deleted_at is null;

-- name: groups_at
-- Groups by key, deleted ones too.
select g.*, (select count(*) from invoice_group_account m where m.invoice_group = g.key) as accounts_count
from invoice_group g where g.workspace = $1 and g.key = any($2::bigint[]);

-- name: group_of_account
-- The group that an account is in.
select g.*, (select count(*) from invoice_group_account n where n.invoice_group = g.key) as accounts_count
from invoice_group_account m join invoice_group g on g.key = m.invoice_group where m.workspace = $1 and m.account = $2;

-- name: hold_accounts
-- Accounts by their ids, held in the order of their keys.
select key, togai_id, currency, status from account where workspace = $1 and togai_id = any($2::text[])
order by key for no key update;

-- name: memberships
-- Which of some accounts are in which groups.
select m.account, m.invoice_group from invoice_group_account m where m.workspace = $1 and m.account = any($2::bigint[]);

-- name: members
-- The accounts of a group, those that have been in it longest first.
select m.account, a.togai_id from invoice_group_account m join account a on a.key = m.account
where m.workspace = $1 and m.invoice_group = $2 order by m.place;

-- name: insert_members
-- Accounts join a group, in order.
insert into invoice_group_account (workspace, account, invoice_group, since)
select $1, account, $3, $4 from unnest($2::bigint[]) with ordinality as a (account, place) order by place;

-- name: delete_members
-- Accounts leave a group.
delete from invoice_group_account where workspace = $1 and invoice_group = $2 and account = any($3::bigint[]);

-- name: touch_group
-- A group has changed; with $4 it is deleted.
update invoice_group set updated_at = $3, deleted_at = $4 where workspace = $1 and key = $2;

-- name: erase_groups
-- Forget to whom invoices of groups go in which a customer's accounts are, or have been billed.
update invoice_group g set name = $3, email = '', address = '{}', secret = null
where g.workspace = $1 and g.key in (
    select m.invoice_group from invoice_group_account m join account a on a.key = m.account
    join customer c on c.key = a.customer where c.workspace = $1 and c.togai_id = $2
    union
    select coalesce(i.invoice_group, p.invoice_group) from customer c join account a on a.customer = c.key
    join invoice i on i.account = a.key left join invoice p on p.key = i.merged_into
    where c.workspace = $1 and c.togai_id = $2);

-- name: groups_to_merge
-- Groups of which something fell due before $2 that is to be merged.
select g.wire_id from invoice_group g where g.workspace = $1 and g.deleted_at is null and g.consolidates and exists (
    select from invoice_group_account m join invoice i on i.account = m.account join invoice_document d on d.invoice = i.key
    where m.invoice_group = g.key and i.status = 'DUE' and i.type <> 'COMPOSITE' and i.class = 'INVOICE'
        and i.merged_into is null and i.paid_amount = 0 and d.invoice_date >= m.since and d.invoice_date < $2)
order by g.key;

-- name: hold_to_merge
-- What fell due in a group before $3 and is to be merged, held in the order of keys.
select i.key, i.account, i.starts_at, i.ends_at, d.invoice_date, d.total
from invoice_group_account m join invoice i on i.account = m.account join invoice_document d on d.invoice = i.key
where m.workspace = $1 and m.invoice_group = $2 and i.status = 'DUE' and i.type <> 'COMPOSITE' and i.class = 'INVOICE'
    and i.merged_into is null and i.paid_amount = 0 and d.invoice_date >= m.since and d.invoice_date < $3
order by i.key for no key update of i;

-- name: still_drafts
-- When invoices of a group fell due before $3 that are not issued yet.
select distinct i.due_at from invoice_group_account m join invoice i on i.account = m.account
where m.workspace = $1 and m.invoice_group = $2 and i.status = 'DRAFT' and i.due_at < $3 and i.auto_advance;

-- name: days_merged
-- Which days of a group have a composite.
select merged_on from invoice where workspace = $1 and invoice_group = $2 and type = 'COMPOSITE';

-- name: insert_composite
-- Make the composite of a day.
insert into invoice (workspace, wire_id, account, invoice_group, merged_on, type, class, status, starts_at, ends_at, due_at,
    uses_wallet, uses_credits, created_at, updated_at)
values ($1, $2, $3, $4, $5, 'COMPOSITE', 'INVOICE', 'DUE', $6, $7, $8, false, false, $9, $9) returning key;

-- name: merge_invoices
-- Invoices become part of a composite.
update invoice set status = 'MERGED', merged_into = $3, updated_at = $4 where workspace = $1 and key = any($2::bigint[]);

-- name: part_invoices
-- The invoices of a composite that was taken back stand by themselves again.
update invoice set status = 'DUE', updated_at = $3 where workspace = $1 and merged_into = $2;

-- name: parts_of
-- The invoices of composites, in the order of their keys.
select i.merged_into as composite, i.key, i.wire_id, i.type, i.account, i.status, a.togai_id, d.number, d.total
from invoice i join invoice_document d on d.invoice = i.key join account a on a.key = i.account
where i.workspace = $1 and i.merged_into = any($2::bigint[]) order by i.key;

-- name: composite_movements
-- What postings of composites have left receivable of accounts.
select t.cause_key as composite, a.account, sum(p.amount) as amount
from ledger_transaction t join posting p on p.transaction = t.key join ledger_account a on a.key = p.ledger_account
where t.workspace = $1 and t.cause in ('merge', 'settlement', 'credit_note', 'refund') and t.cause_key = any($2::bigint[])
    and a.kind = 'receivable'
group by t.cause_key, a.account having sum(p.amount) <> 0;

-- name: stray_parts
-- Invoices that are merged into nothing, or into what is no composite in force, or that a composite in force has lost.
select i.wire_id, i.status from invoice i left join invoice c on c.key = i.merged_into
where (i.status = 'MERGED') <> coalesce(i.merged_into is not null and c.type = 'COMPOSITE'
    and c.status not in ('VOID', 'REFUND_INITIATED', 'REFUND_COMPLETED'), false)
order by i.key limit 20;
