-- name: items_of
-- The lines of custom invoices.
select invoice, items from custom_invoice where workspace = $1 and invoice = any($2::bigint[]);

-- name: put_items
-- Set the lines of a custom invoice.
insert into custom_invoice (workspace, invoice, items) values ($1, $2, $3)
on conflict (invoice) do update set items = excluded.items;

-- name: insert_custom
-- Make a custom invoice, as a draft.
insert into invoice (workspace, wire_id, account, type, class, status, starts_at, ends_at, due_at, auto_advance,
    uses_credits, uses_wallet, created_at, updated_at)
values ($1, $2, $3, 'CUSTOM', 'INVOICE', 'DRAFT', $4, $5, $6, $7, $8, $9, $10, $10)
returning key;

-- name: update_custom
-- Change a custom invoice; what is null stays. It is due at the end of its period, or at $6 where that has passed.
update invoice set starts_at = coalesce($3, starts_at), ends_at = coalesce($4, ends_at),
    auto_advance = coalesce($5, auto_advance), due_at = greatest(coalesce($4, ends_at), $6), updated_at = $7
where workspace = $1 and key = $2;

-- name: set_due_at
-- A custom invoice is issued now.
update invoice set due_at = $3 where workspace = $1 and key = $2;

-- name: delete_custom
-- Take a custom invoice away, with all that is its own.
delete from invoice where workspace = $1 and key = $2;

-- name: lock_due_customs
-- The next custom drafts that a bill run issues; those that another run holds are left to it.
select key from invoice
where workspace = $1 and status = 'DRAFT' and type = 'CUSTOM' and auto_advance and due_at <= $2
order by due_at, key limit $3 for update skip locked;
