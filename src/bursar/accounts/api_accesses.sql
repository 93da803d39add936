-- name: list_accesses
-- The logins of customers that the carrier has not deleted.
select x.yeti_id as id, c.yeti_id as customer_id, x.login, x.account_ids, x.allowed_ips
from api_access x join customer c on c.key = x.customer
where x.workspace = $1 and c.hidden_at is null;

-- name: insert_access
-- Add a login; nothing where the name is taken on the server.
insert into api_access (workspace, yeti_id, customer, subject, login, password_hash, account_ids, allowed_ips, created_at,
    updated_at)
values ($1, nextval(format('yeti_object_%s', $1::int)::regclass), $2, $3, $4, $5, $6, $7::inet[], $8, $8)
on conflict (login) do nothing returning yeti_id;

-- name: access
-- A login of a customer that is there.
select x.key, x.yeti_id, x.login, x.account_ids, x.allowed_ips, c.yeti_id as customer_number
from api_access x join customer c on c.key = x.customer
where x.workspace = $1 and x.yeti_id = $2 and c.hidden_at is null;

-- name: lock_access
-- Keep other changes of a login waiting.
select key from api_access where workspace = $1 and yeti_id = $2 for update;

-- name: update_access
-- Change a login; another password comes with another subject, null leaves both.
update api_access set customer = $3, login = $4, account_ids = $5, allowed_ips = $6::inet[],
    password_hash = coalesce($7, password_hash), subject = coalesce($8, subject), updated_at = $9
where workspace = $1 and key = $2;

-- name: login_taken
-- Whether another login of the workspace has a name already.
select exists (select from api_access where workspace = $1 and login = $2 and yeti_id is distinct from $3);

-- name: delete_access
-- Remove a login.
delete from api_access where workspace = $1 and key = $2;

-- name: delete_accesses
-- Remove the logins of a customer.
delete from api_access where workspace = $1 and customer = $2;

-- name: visible_customer
-- A customer as the carrier sees it.
select key, wire_id from customer where workspace = $1 and yeti_id = $2 and hidden_at is null;

-- name: numbers_of_accounts
-- Which of these numbers are accounts of a customer.
select a.yeti_id from account a join account_terms t on t.account = a.key
where a.workspace = $1 and a.customer = $2 and a.yeti_id = any($3::bigint[]) and t.hidden_at is null;

-- name: leave_account
-- An account is gone: it leaves the logins that show others besides.
update api_access set account_ids = array_remove(account_ids, $2), updated_at = $3
where workspace = $1 and $2 = any(account_ids) and cardinality(array_remove(account_ids, $2)) > 0;

-- name: portal_by_login
-- Whom a login opens, before a workspace is known.
select x.subject, x.password_hash, x.yeti_id as access_number, x.account_ids, x.allowed_ips, c.key as customer_key,
    c.yeti_id as customer_number, c.wire_id as customer_wire_id, w.*
from api_access x join customer c on c.key = x.customer join workspace w on w.key = x.workspace
where x.login = $1 and c.hidden_at is null;

-- name: portal_by_subject
-- Whom a token's login opens.
select x.subject, x.password_hash, x.yeti_id as access_number, x.account_ids, x.allowed_ips, c.key as customer_key,
    c.yeti_id as customer_number, c.wire_id as customer_wire_id, w.*
from api_access x join customer c on c.key = x.customer join workspace w on w.key = x.workspace
where x.subject = $1 and c.hidden_at is null;

-- name: portal_by_customer
-- The customer that a dynamic token names; nobody once it is deleted or erased.
select null::bigint as subject, null as password_hash, null::bigint as access_number, '{}'::bigint[] as account_ids,
    '{}'::inet[] as allowed_ips, c.key as customer_key, c.yeti_id as customer_number, c.wire_id as customer_wire_id, w.*
from customer c join customer_profile p on p.customer = c.key join workspace w on w.key = c.workspace
where c.wire_id = $1 and c.hidden_at is null and p.secret is not null;
