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

-- name: wrong_orders
-- Purchases whose state is not what their order's says, or whose order is not theirs.
select p.wire_id, p.workspace, p.status, p.payment_mode, i.status as order_status
from purchase p left join purchase_order o on o.purchase = p.key left join invoice i on i.key = o.invoice
left join invoice_document d on d.invoice = i.key
where (p.status is null) <> (o.invoice is null)
    or o.invoice is not null and (i.class <> 'ORDER' or i.account <> p.account or d.total is distinct from p.price)
    or not case p.status
        when 'PENDING' then p.payment_mode = 'PREPAID' and i.status in ('DUE', 'PARTIALLY_PAID', 'UN_COLLECTIBLE')
        when 'SUCCESS' then case p.payment_mode when 'PREPAID' then i.status = 'PAID'
            else i.status in ('DUE', 'PARTIALLY_PAID', 'PAID', 'UN_COLLECTIBLE', 'MERGED') end
        when 'FAILURE' then i.status in ('PAID', 'VOID', 'REFUND_INITIATED', 'REFUND_COMPLETED')
        else true end
order by p.key limit 20;

-- name: orders_without_purchase
-- Invoices of the class of orders that nothing was bought by.
select i.wire_id from invoice i left join purchase_order o on o.invoice = i.key
where i.class = 'ORDER' and o.purchase is null order by i.key limit 20;

-- name: wrong_order_movements
-- Purchases whose movements of money are not what their state says: what is deferred of their order, and what their wallet got.
select p.wire_id, p.workspace, p.status, m.movements, m.deferred, m.wallet
from purchase p join purchase_order o on o.purchase = p.key join invoice i on i.key = o.invoice
cross join lateral (
    select count(distinct t.key) filter (where t.cause = 'purchase') as movements,
        coalesce(sum(g.amount) filter (where a.kind = 'deferred'), 0) as deferred,
        coalesce(sum(g.amount) filter (where a.kind = 'deferred' and t.cause = 'invoice'), 0) as ordered,
        coalesce(-sum(g.amount) filter (where a.kind = 'wallet' and t.cause = 'purchase'), 0) as wallet
    from ledger_transaction t join posting g on g.transaction = t.key join ledger_account a on a.key = g.ledger_account
    where t.workspace = p.workspace and (t.cause = 'purchase' and t.cause_key = p.key
        or t.cause in ('invoice', 'release', 'credit_note') and t.cause_key = o.invoice
        or t.cause = 'credit' and t.cause_key in (select c.key from credit c
            where c.workspace = p.workspace and c.account = p.account and c.grantor_id = p.wire_id))
) m
where m.movements > 1
    or m.deferred <> case p.status when 'PENDING' then m.ordered when 'SUCCESS'
        then case when i.release_at is null then 0 else m.deferred end else 0 end
    or m.wallet <> case when p.status = 'SUCCESS' and p.type = 'WALLET_TOPUP' then p.topup_amount
        when p.status = 'FAILURE' and m.movements = 1 then p.price else 0 end
order by p.key limit 20;

-- name: page_orders
-- Purchases of all workspaces after a key with the documents of their orders; associations left out.
select p.*, a.togai_id as account_id, d.content, x.exponent
from purchase p join account a on a.key = p.account join purchase_order o on o.purchase = p.key
join invoice_document d on d.invoice = o.invoice join currency x on x.workspace = p.workspace and x.code = p.currency
where p.key > $1 and p.type <> 'ASSOCIATION' order by p.key limit $2;
