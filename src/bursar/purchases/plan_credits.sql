-- name: insert_plan_credits
-- Note which purchases or cycles of associations gave credits.
insert into plan_credit (workspace, credit, purchase, schedule, add_on, starts_at)
select $1, * from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $6::timestamptz[]);

-- name: known_plan_credits
-- What associations have given already, whatever became of it.
select schedule, add_on, starts_at from plan_credit where workspace = $1 and schedule = any($2::bigint[]);

-- name: page_credited
-- What purchases of all workspaces after a key, of those that are to give credits, gave; with the decimals of their currency.
select p.*, a.togai_id as account_id, c.exponent, array(
        select o.wire_id || ' ' || e.amount::text
        from plan_credit n join credit r on r.key = n.credit join add_on o on o.key = n.add_on
        cross join lateral (select amount from credit_entry where credit = r.key order by key limit 1) e
        where n.purchase = p.key and r.account = p.account order by r.key) as credited
from purchase p join account a on a.key = p.account
join currency c on c.workspace = p.workspace and c.code = p.currency
where p.key > $1 and p.type = 'ENTITLEMENT_GRANT' and p.status = 'SUCCESS' order by p.key limit $2;

-- name: stray_plan_credits
-- Credits of plans whose giver is another account's, was not carried out, or did not begin then.
select c.wire_id, c.workspace from plan_credit n join credit c on c.key = n.credit
left join purchase p on p.key = n.purchase left join schedule s on s.key = n.schedule
where c.account <> coalesce(p.account, s.account) or c.workspace <> n.workspace
    or n.purchase is not null and (p.type <> 'ENTITLEMENT_GRANT' or p.status is distinct from 'SUCCESS')
order by c.key limit 20;
