-- name: insert_order
-- The invoice that a purchase is to be paid by, which its issue follows at once.
with made as (
    insert into invoice (workspace, wire_id, account, type, class, status, starts_at, ends_at, due_at, uses_wallet,
        uses_credits, created_at, updated_at)
    values ($1, $2, $3, $4, 'ORDER', 'DRAFT', $5, $6, $7, false, false, $8, $8) returning key
)
insert into purchase_order (purchase, workspace, invoice) select $9, $1, key from made returning invoice;

-- name: invoices_of_purchases
-- The invoices of purchases.
select o.purchase, o.invoice, i.wire_id, i.status from purchase_order o join invoice i on i.key = o.invoice
where o.workspace = $1 and o.purchase = any($2::bigint[]) order by o.purchase;

-- name: purchases_of_invoices
-- The purchases that invoices are to pay, and of which accounts.
select p.key, p.account, p.type, p.status, p.currency, a.togai_id as account_id
from purchase_order o join purchase p on p.key = o.purchase join account a on a.key = p.account
where o.workspace = $1 and o.invoice = any($2::bigint[]) order by p.key;

-- name: currency_exponent
-- How many decimals a currency of the workspace has.
select exponent from currency where workspace = $1 and code = $2;

-- name: ordered_advances
-- Until when fees in advance of schedules were charged by the orders of their purchases, where that is later than $3.
select p.schedule, i.ends_at from purchase p join purchase_order o on o.purchase = p.key join invoice i on i.key = o.invoice
where p.workspace = $1 and p.schedule = any($2::bigint[]) and i.ends_at > $3;

-- name: hold_order
-- The invoice of a purchase, held until the transaction ends.
select i.key, i.wire_id, i.status, i.paid_amount from purchase_order o join invoice i on i.key = o.invoice
where o.workspace = $1 and o.purchase = $2 for no key update of i;
