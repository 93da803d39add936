-- name: list_currencies
-- The currencies that a carrier works with.
select c.yeti_id as id, c.code as name, c.rate, c.rate_provider as rate_provider_id
from currency c where c.workspace = $1 and c.yeti_id is not null;

-- name: lock_currency
-- A currency by number, kept from other changes.
select yeti_id as id, code as name, rate, rate_provider as rate_provider_id
from currency where workspace = $1 and yeti_id = $2 for update;

-- name: currency_taken
-- Whether a carrier works with a currency already.
select exists (select from currency where workspace = $1 and code = $2 and yeti_id is not null
    and yeti_id is distinct from $3);

-- name: work_with
-- Let a carrier work with a currency, under a number or a new one; nothing where it does already.
insert into currency (workspace, code, exponent, yeti_id, rate, rate_provider)
values ($1, $2, $3, coalesce($4, nextval(format('yeti_object_%s', $1::int)::regclass)), $5, $6)
on conflict (workspace, code) do update
    set yeti_id = excluded.yeti_id, rate = excluded.rate, rate_provider = excluded.rate_provider
    where currency.yeti_id is null
returning yeti_id;

-- name: change_rate
-- Change what a currency is worth, and who says so.
update currency set rate = $3, rate_provider = $4 where workspace = $1 and yeti_id = $2;

-- name: work_without
-- A currency is only known from now on.
update currency set yeti_id = null, rate = null, rate_provider = null where workspace = $1 and yeti_id = $2;

-- name: currency_used
-- Whether accounts that the carrier sees have a currency.
select exists (select from account a join account_terms t on t.account = a.key
    where a.workspace = $1 and a.currency = $2 and t.hidden_at is null);

-- name: set_own_currency
-- The workspace's own currency is another one.
update workspace set currency = $2 where key = $1;
