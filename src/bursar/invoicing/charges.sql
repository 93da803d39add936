-- name: charges_of
-- Lists of miscellaneous charges for invoices: their own and, of the next one of an account to be issued, the account's.
select c.key, c.invoice, false as waiting, c.items, c.account is null as own
from miscellaneous_charges c where c.workspace = $1 and c.invoice = any($2::bigint[])
union all
select c.key, i.key, true, c.items, false
from invoice i join miscellaneous_charges c on c.account = i.account and c.invoice is null
where i.workspace = $1 and i.key = any($2::bigint[]) and i.type = 'STANDARD' and i.status = 'DRAFT'
    and i.schedule is not null
    and i.starts_at = (select min(e.starts_at) from invoice e where e.account = i.account and e.status = 'DRAFT'
        and e.type = i.type and coalesce(e.schedule, 0) <> 0)
order by own, key;

-- name: take_charges
-- Lists that waited for an invoice belong to it from now on; one that was replaced meanwhile, as it is now.
update miscellaneous_charges c set invoice = n.invoice
from unnest($2::bigint[], $3::bigint[]) as n (key, invoice)
where c.workspace = $1 and c.key = n.key and c.invoice is null returning c.key, c.invoice, c.items;

-- name: put_charges_of_account
-- The list that waits for the next invoice of an account.
insert into miscellaneous_charges (workspace, account, items, updated_at) values ($1, $2, $3, $4)
on conflict (account) where invoice is null do update set items = excluded.items, updated_at = excluded.updated_at;

-- name: drop_charges_of_account
-- Nothing waits for the next invoice of an account any more.
delete from miscellaneous_charges where workspace = $1 and account = $2 and invoice is null;

-- name: put_charges_of_invoice
-- The list of an invoice's own.
insert into miscellaneous_charges (workspace, invoice, items, updated_at) values ($1, $2, $3, $4)
on conflict (invoice) where account is null do update set items = excluded.items, updated_at = excluded.updated_at;

-- name: drop_charges_of_invoice
-- An invoice has no list of its own any more.
delete from miscellaneous_charges where workspace = $1 and invoice = $2 and account is null;
