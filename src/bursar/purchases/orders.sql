-- name: insert_purchase
-- Add a purchase or a proposal.
insert into purchase (workspace, wire_id, account, type, payment_mode, proposal, status, price_plan_version, quantity,
    quantities, effective_from, effective_until, topup_amount, purchase_amount, price, currency, idempotency_key,
    expires_at, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19) returning key;

-- name: find_purchase
-- A purchase by its wire id.
select p.*, a.togai_id as account_id from purchase p join account a on a.key = p.account
where p.workspace = $1 and p.wire_id = $2;

-- name: purchases
-- Purchases by key.
select p.*, a.togai_id as account_id from purchase p join account a on a.key = p.account
where p.workspace = $1 and p.key = any($2::bigint[]) order by p.key;

-- name: lock_purchases
-- Purchases by key, held in the order of their keys until the transaction ends.
select p.*, a.togai_id as account_id from purchase p join account a on a.key = p.account
where p.workspace = $1 and p.key = any($2::bigint[]) order by p.key for no key update of p;

-- name: list_purchases
-- The newest purchases of an account before a key; without those proposals that were not approved.
select p.*, a.togai_id as account_id from purchase p join account a on a.key = p.account
where p.workspace = $1 and p.account = $2 and ($3::bigint is null or p.key < $3)
    and case when $5 then p.proposal is not null else p.status is not null end
order by p.key desc limit $4;

-- name: answer_proposal
-- Give a proposal its answer; an approved one is a purchase from then on.
update purchase set proposal = $3, status = case when $3 = 'APPROVED' then 'PENDING' end, answered_at = $4, updated_at = $5
where workspace = $1 and key = $2 and proposal = 'ACTIVE' returning key;

-- name: settle_purchase
-- End the waiting of a purchase, once.
update purchase set status = $3, comment = $4, schedule = $5, updated_at = $6
where workspace = $1 and key = $2 and status = 'PENDING' returning key;

-- name: list_past
-- Purchases whose time has run out, those that ran out first before the others.
select key from purchase
where workspace = $1 and (status = 'PENDING' or proposal = 'ACTIVE') and expires_at <= $2 order by expires_at, key limit $3;

-- name: grants_of_purchase
-- What a purchase has granted, in order.
select g.*, 0 as over, f.wire_id as feature_id, coalesce(f.billable_name, f.name) as feature_name
from feature_grant g join feature_balance b on b.key = g.feature_balance join feature f on f.key = b.feature
where g.workspace = $1 and g.purchase = $2 order by g.key;

-- name: payment_mode_of
-- What a setting says about how an account pays its purchases: its own, else its customer's, else the workspace's.
select s.value
from account a join customer c on c.key = a.customer join workspace w on w.key = a.workspace
cross join lateral (values ('ACCOUNT', a.togai_id, 1), ('CUSTOMER', c.togai_id, 2), ('ORGANIZATION', w.name, 3))
    as e (type, id, place)
join setting s on s.workspace = $1 and s.namespace = 'PURCHASE' and s.setting_id = 'paymentMode'
    and s.entity_type = e.type and s.entity_id = e.id
where a.workspace = $1 and a.key = $2 order by e.place limit 1;

-- name: page_granting
-- Purchases of all workspaces after a key that are to have grants, with what they were granted.
select p.*, a.togai_id as account_id, array(
        select g.wire_id || ' ' || f.wire_id || ' ' || e.amount::text
        from feature_grant g join feature_balance b on b.key = g.feature_balance join feature f on f.key = b.feature
        join feature_entry e on e.feature_grant = g.key and e.kind = 'GRANT'
        where g.purchase = p.key and b.account = p.account order by g.key) as granted
from purchase p join account a on a.key = p.account
where p.key > $1 and p.type = 'ENTITLEMENT_GRANT' and p.status = 'SUCCESS' order by p.key limit $2;

-- name: stray_grants
-- Grants whose id says that they were bought, without a purchase that was carried out; and the other way round.
select g.key, g.workspace, g.wire_id from feature_grant g left join purchase p on p.key = g.purchase
where (g.purchase is not null) <> (g.wire_id like 'purchase.%$PURCHASE')
    or g.purchase is not null and (p.type <> 'ENTITLEMENT_GRANT' or p.status is distinct from 'SUCCESS')
order by g.key limit 20;

-- name: unassociated_purchases
-- Associations that were bought and carried out without a schedule of their account, or the other way round.
select p.wire_id, p.workspace, p.status from purchase p left join schedule s on s.key = p.schedule
where p.type = 'ASSOCIATION' and (p.status is not distinct from 'SUCCESS') <> (s.key is not null and s.account = p.account)
order by p.key limit 20;
