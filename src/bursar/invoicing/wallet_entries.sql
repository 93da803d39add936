-- name: wallet_has
-- Whether a posting is one of a wallet.
select exists (select from posting where workspace = $1 and ledger_account = $2 and transaction = $3 and line = $4);

-- name: wallet_postings
-- Postings of a wallet before one of them, newest first, each with the number of what caused it where that has one.
-- A wallet is held before its transactions get their keys, so that these are in the order in which it changed.
select p.transaction, p.line, -p.amount as amount, coalesce(r.description, h.description, t.description) as description,
    t.recorded_at, coalesce(y.yeti_id::text, c.yeti_id::text, r.wire_id, i.wire_id, h.wire_id) as entity
from posting p join ledger_transaction t on t.key = p.transaction
left join payment y on t.cause in ('payment', 'payment_rollback') and y.workspace = $1 and y.key = t.cause_key
left join remittance_line n on t.cause = 'remittance' and n.workspace = $1 and n.transaction = t.key
left join remittance r on r.key = n.remittance
left join invoice i on t.cause in ('settlement', 'refund', 'license_refund') and i.workspace = $1 and i.key = t.cause_key
left join wallet_hold h on t.cause = 'hold' and h.workspace = $1 and h.key = t.cause_key
left join charge c on t.cause = 'charge' and c.workspace = $1 and c.key = t.cause_key
where p.workspace = $1 and p.ledger_account = $2 and (p.transaction, p.line) < ($3, $4)
order by p.transaction desc, p.line desc limit $5;
