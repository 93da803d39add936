-- name: adjustments_of
-- What adjusts invoices: their parts of adjustments where they are issued; of drafts what waits at their accounts, at the
-- next invoice of each to be issued, a custom one only where there is no other.
select p.invoice, a.key, a.content, p.amount, true as fixed
from adjustment_part p join adjustment a on a.key = p.adjustment
where p.workspace = $1 and p.invoice = any($2::bigint[])
union all
select i.key, a.key, a.content, a.open_amount, false
from invoice i join adjustment a on a.account = i.account and a.open_amount <> 0
where i.workspace = $1 and i.key = any($2::bigint[]) and i.status = 'DRAFT' and case
    when i.type = 'STANDARD' then i.schedule is not null
        and i.starts_at = (select min(e.starts_at) from invoice e where e.account = i.account and e.status = 'DRAFT'
            and e.type = i.type and coalesce(e.schedule, 0) <> 0)
    when i.type = 'CUSTOM' then i.key = (select min(e.key) from invoice e where e.account = i.account
            and e.status = 'DRAFT' and e.type = i.type)
        and not exists (select from invoice e where e.account = i.account and e.status = 'DRAFT' and e.type = 'STANDARD'
            and coalesce(e.schedule, 0) <> 0)
    end
order by 2;

-- name: hold_adjustments
-- Adjustments, held until the transaction ends.
select key from adjustment where key = any($1::bigint[]) order by key for update;

-- name: insert_parts
-- What invoices take of adjustments.
insert into adjustment_part (workspace, invoice, adjustment, amount)
select $1, n.invoice, a.key, n.amount
from unnest($2::bigint[], $3::text[], $4::numeric[]) as n (invoice, wire_id, amount)
join adjustment a on a.workspace = $1 and a.wire_id = n.wire_id;

-- name: take_parts
-- Adjustments have so much less to be taken.
update adjustment a set open_amount = a.open_amount - n.amount
from unnest($2::text[], $3::numeric[]) as n (wire_id, amount) where a.workspace = $1 and a.wire_id = n.wire_id;

-- name: adjusted_usage
-- What corrections have added to the usage of invoices since they were issued.
select a.invoice, u.usage_meter, sum(u.quantity) as quantity
from adjustment a join adjustment_usage u on u.adjustment = a.key
where a.workspace = $1 and a.invoice = any($2::bigint[]) group by 1, 2;

-- name: lock_billed
-- The invoices of usage of accounts at instants, held: who is issuing one comes first.
select m.place, i.key, i.wire_id, i.status
from unnest($2::bigint[], $3::timestamptz[]) with ordinality as m (account, at, place)
join invoice i on i.account = m.account and i.type = 'STANDARD' and i.schedule is not null
    and i.starts_at <= m.at and i.ends_at > m.at
where i.workspace = $1 order by i.key for update of i;

-- name: meters_of_versions
-- The usage meters that versions are of.
select key, usage_meter from usage_meter_version where workspace = $1 and key = any($2::int[]);

-- name: adjusted_amount
-- By how much an invoice has been adjusted.
select coalesce(sum(amount), 0) from adjustment where workspace = $1 and invoice = $2;

-- name: insert_adjustment
-- An adjustment of an invoice, none of which is taken yet.
insert into adjustment (workspace, wire_id, account, invoice, content, amount, open_amount, recorded_at)
values ($1, $2, $3, $4, $5, $6, $6, $7) returning key;

-- name: insert_adjustment_usage
-- What a correction has added to the usage of an invoice.
insert into adjustment_usage (workspace, adjustment, usage_meter, quantity)
select $1, $2, usage_meter, quantity from unnest($3::int[], $4::numeric[]) as u (usage_meter, quantity);

-- name: list_adjustments
-- The newest adjustments that match, before a key.
select a.key, a.wire_id, a.content, a.amount, a.open_amount, a.recorded_at, c.togai_id as account_id,
    array(select i.wire_id from adjustment_part p join invoice i on i.key = p.invoice
        where p.adjustment = a.key order by p.invoice) as invoices,
    array(select p.amount from adjustment_part p where p.adjustment = a.key order by p.invoice) as amounts
from adjustment a join account c on c.key = a.account join invoice o on o.key = a.invoice
where a.workspace = $1 and ($2::text is null or c.togai_id = $2) and ($3::text is null or o.wire_id = $3)
    and ($4::boolean is null or (a.open_amount <> 0) = $4) and ($5::bigint is null or a.key < $5)
    and ($6::bigint[] is null or a.key = any($6))
order by a.key desc limit $7;

-- name: adjusted_invoices
-- Invoices of all workspaces that were adjusted, after a key, with what that has come to.
select a.invoice, a.workspace, sum(a.amount) as amount from adjustment a
where a.invoice > $1 group by 1, 2 order by 1 limit $2;

-- name: wrong_parts
-- Adjustments of which another amount waits than no invoice has taken.
select a.wire_id, a.workspace, a.amount, a.open_amount, coalesce(p.taken, 0) as taken
from adjustment a
left join (select adjustment, sum(amount) as taken from adjustment_part group by 1) p on p.adjustment = a.key
where a.open_amount <> a.amount - coalesce(p.taken, 0) limit 20;

-- name: parts_of
-- What invoices of all workspaces have taken of adjustments.
select p.invoice, a.wire_id, p.amount from adjustment_part p join adjustment a on a.key = p.adjustment
where p.invoice = any($1::bigint[]);
