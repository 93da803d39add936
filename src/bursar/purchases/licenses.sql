-- name: license_holder
-- To which account an id or alias leads at an instant.
select a.togai_id from account_name n join account a on a.key = n.account
where n.workspace = $1 and n.value = $2 and n.effective @> $3::timestamptz;

-- name: quantity_before
-- How many licences an account has of an add-on at an instant, by the updates up to then.
select quantity from license_update
where workspace = $1 and account = $2 and add_on = $3 and effective_from <= $4
order by effective_from desc, key desc limit 1;

-- name: later_figures
-- The least and the most of the relative updates behind an instant, up to the next one that says how many there are.
select min(quantity) as least, max(quantity) as most from license_update u
where workspace = $1 and account = $2 and add_on = $3 and effective_from > $4 and kind = 'RELATIVE'
    and not exists (select from license_update n where n.account = u.account and n.add_on = u.add_on and n.kind = 'ABSOLUTE'
        and n.effective_from > $4 and (n.effective_from, n.key) < (u.effective_from, u.key));

-- name: move_later
-- Let these go along by an amount.
update license_update u set quantity = u.quantity + $5
where workspace = $1 and account = $2 and add_on = $3 and effective_from > $4 and kind = 'RELATIVE'
    and not exists (select from license_update n where n.account = u.account and n.add_on = u.add_on and n.kind = 'ABSOLUTE'
        and n.effective_from > $4 and (n.effective_from, n.key) < (u.effective_from, u.key));

-- name: insert_update
-- Add an update.
insert into license_update (workspace, account, add_on, effective_from, kind, amount, quantity, metadata, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9) returning key;

-- name: update_at
-- The last update of an account and an add-on at an instant.
select u.key from license_update u join account a on a.key = u.account join add_on d on d.key = u.add_on
where u.workspace = $1 and a.togai_id = $2 and d.wire_id = $3 and u.effective_from = $4 order by u.key desc limit 1;

-- name: describe_update
-- Give an update other metadata.
update license_update set metadata = $3::jsonb where workspace = $1 and key = $2;

-- name: updates_of_licenses
-- Updates by key.
select u.*, a.togai_id as account_id, d.wire_id as license_id
from license_update u join account a on a.key = u.account join add_on d on d.key = u.add_on
where u.workspace = $1 and u.key = any($2::bigint[]) order by u.key desc;

-- name: list_updates
-- The keys of the newest updates that match, before a key.
select u.key from license_update u join account a on a.key = u.account join add_on d on d.key = u.add_on
where u.workspace = $1 and ($2::text is null or a.togai_id = $2) and ($3::text is null or d.wire_id = $3)
    and ($4::timestamptz is null or u.effective_from >= $4) and ($5::bigint is null or u.key < $5)
order by u.key desc limit $6;

-- name: erase_metadata
-- Forget what was noted with the licences of a customer's accounts.
update license_update u set metadata = null from account a join customer c on c.key = a.customer
where u.workspace = $1 and a.key = u.account and c.togai_id = $2 and u.metadata is not null;

-- name: wrong_quantities
-- Updates that do not show what they and those before them come to.
select key, workspace, quantity, held from (
    select u.key, u.workspace, u.quantity, sum(u.amount) over (partition by u.account, u.add_on, u.since
        order by u.effective_from, u.key rows unbounded preceding) as held
    from (select *, count(*) filter (where kind = 'ABSOLUTE') over (partition by account, add_on
        order by effective_from, key rows unbounded preceding) as since from license_update) u
) s where quantity <> held order by key limit 20;

-- name: stray_licenses
-- Updates of add-ons that are not sold by their number.
select u.key, u.workspace, d.wire_id, d.type from license_update u join add_on d on d.key = u.add_on
where d.type <> 'LICENSE' or d.workspace <> u.workspace order by u.key limit 20;

-- name: license_history
-- Of accounts and add-ons, how many licences there are at an instant and from each update on that follows before another.
select w.place::int as place, u.effective_from, u.quantity
from unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::timestamptz[]) with ordinality
    as w (account, add_on, since, until, place)
cross join lateral (
    select u.key, u.effective_from, u.quantity from license_update u
    where u.workspace = $1 and u.account = w.account and u.add_on = w.add_on and u.effective_from < w.until
        and u.effective_from >= coalesce((select max(effective_from) from license_update
            where account = w.account and add_on = w.add_on and effective_from <= w.since), '-infinity')
) u order by w.place, u.effective_from, u.key;
