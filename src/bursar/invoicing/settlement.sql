-- name: hold_invoices
-- Issued invoices with what they come to, held in the order of their keys until the transaction ends.
select i.key, i.wire_id, i.account, i.class, i.status, i.paid_amount, d.total, d.currency,
    coalesce(a.timezone, w.timezone) as zone
from invoice i join invoice_document d on d.invoice = i.key join account a on a.key = i.account
join workspace w on w.key = i.workspace
where i.workspace = $1 and i.key = any($2::bigint[]) order by i.key for no key update of i;

-- name: settle_invoices
-- Move issued invoices to their states, with what has been paid of them.
update invoice i set status = n.status, paid_amount = n.paid, updated_at = $2
from unnest($3::bigint[], $4::text[], $5::numeric[]) as n (invoice, status, paid)
where i.workspace = $1 and i.key = n.invoice;

-- name: insert_invoice_payments
-- Note what was paid of invoices, in order.
insert into invoice_payment (workspace, invoice, source, amount, transaction, paid_at)
select $1, invoice, source, amount, transaction, $2
from unnest($3::bigint[], $4::text[], $5::numeric[], $6::bigint[]) with ordinality
    as p (invoice, source, amount, transaction, place)
order by place;

-- name: payments_of
-- What was paid of invoices, in order, with the payments that it was part of.
select p.invoice, p.source, p.amount, p.paid_at, r.wire_id as payment from invoice_payment p
left join remittance_line l on l.transaction = p.transaction left join remittance r on r.key = l.remittance
where p.workspace = $1 and p.invoice = any($2::bigint[]) order by p.key;

-- name: invoices_for_wallets
-- Open invoices after a place whose accounts have money in wallets that may be used at $2; oldest first.
select i.key, i.due_at from invoice i join account a on a.key = i.account
join ledger_account l on l.workspace = $1 and l.kind = 'wallet' and l.account = i.account and l.detail = ''
    and l.currency = a.currency
join ledger_balance b on b.ledger_account = l.key and b.balance < 0
where i.workspace = $1 and i.status in ('DUE', 'PARTIALLY_PAID') and i.class = 'INVOICE' and i.uses_wallet
    and (i.due_at, i.key) > ($3, $4)
    and not exists (select from wallet w where w.account = i.account and (w.status <> 'ACTIVE' or w.effective_from > $2))
order by i.due_at, i.key limit $5;

-- name: wrong_paid_amounts
-- Invoices whose state, paid amount, entries of it and the movements of money for them do not agree.
select i.wire_id, i.status, i.paid_amount as paid, d.total, coalesce(e.amount, 0) as entered, coalesce(m.amount, 0) as moved
from invoice i left join invoice_document d on d.invoice = i.key
left join (select invoice, sum(amount) as amount from invoice_payment group by invoice) e on e.invoice = i.key
left join (select t.workspace, t.cause_key, sum(p.amount) as amount
    from ledger_transaction t join posting p on p.transaction = t.key join ledger_account a on a.key = p.ledger_account
    where t.cause in ('settlement', 'refund') and a.kind in ('cash', 'wallet')
    group by t.workspace, t.cause_key) m on m.workspace = i.workspace and m.cause_key = i.key
where i.paid_amount <> coalesce(e.amount, 0) or i.paid_amount <> coalesce(m.amount, 0)
    or not case i.status when 'PAID' then i.paid_amount = d.total
        when 'PARTIALLY_PAID' then i.paid_amount > 0 and i.paid_amount < d.total
        when 'UN_COLLECTIBLE' then i.paid_amount >= 0 and i.paid_amount < d.total
        when 'REFUND_INITIATED' then i.paid_amount > 0 and i.paid_amount <= d.total
        when 'MERGED' then true else i.paid_amount = 0 end
order by i.key limit 20;
