-- name: insert_remittance
-- Money that has come in, or went back.
insert into remittance (workspace, wire_id, account, currency, amount, description, notes, reference, created_by, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10) returning key;

-- name: insert_remittance_lines
-- Where it belongs.
insert into remittance_line (remittance, workspace, place, type, wire_id, amount, transaction)
select $2, $1, place, type, wire_id, amount, transaction
from unnest($3::int[], $4::text[], $5::text[], $6::numeric[], $7::bigint[]) as l (place, type, wire_id, amount, transaction);

-- name: find_remittance
-- The key of a payment by wire id.
select key from remittance where workspace = $1 and wire_id = $2;

-- name: list_remittances
-- The newest payments before a key.
select key from remittance where workspace = $1 and ($2::bigint is null or key < $2) order by key desc limit $3;

-- name: remittances_at
-- Payments by key, newest first.
select r.*, a.togai_id as account_id from remittance r join account a on a.key = r.account
where r.workspace = $1 and r.key = any($2::bigint[]) order by r.key desc;

-- name: lines_of_remittances
-- The lines of payments, in their order.
select remittance, place, type, wire_id, amount from remittance_line
where workspace = $1 and remittance = any($2::bigint[]) order by remittance, place;

-- name: invoices_of_account
-- Invoices by wire id that an account may pay: its own, those to a group that it is in, and those that its own are part of.
select i.key, i.wire_id from invoice i where i.workspace = $1 and i.wire_id = any($3::text[]) and (i.account = $2
    or exists (select from invoice_group_account m where m.account = $2 and m.invoice_group = i.invoice_group)
    or exists (select from invoice p where p.workspace = $1 and p.account = $2 and p.merged_into = i.key));

-- name: credits_of_account
-- Credits of an account by wire id.
select key, wire_id from credit where workspace = $1 and account = $2 and wire_id = any($3::text[]);

-- name: erase_references
-- Forget who paid and what was noted of the payments of a customer, by id.
update remittance set description = null, notes = null, reference = jsonb_build_object('sourceName', '', 'sourceType',
    reference -> 'sourceType', 'transactionNumber', '')
where workspace = $1 and account in (
    select a.key from account a join customer c on c.key = a.customer where c.workspace = $1 and c.togai_id = $2);

-- name: wrong_remittances
-- Payments whose lines do not add up to them, or whose movements of cash do not.
select r.wire_id, r.amount, coalesce(l.amount, 0) as told, coalesce(l.cash, 0) as posted
from remittance r left join (select n.remittance, sum(n.amount) as amount, sum((select coalesce(sum(p.amount), 0)
        from posting p join ledger_account a on a.key = p.ledger_account and a.kind = 'cash'
        where p.transaction = n.transaction)) as cash
    from remittance_line n group by n.remittance) l on l.remittance = r.key
where r.amount <> coalesce(l.amount, 0) or r.amount <> coalesce(l.cash, 0) order by r.key limit 20;
