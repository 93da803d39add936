-- name: list_contractors
-- Customers as a carrier sees them, archived ones included; `archived` is what the other door says.
select c.yeti_id as id, c.key, c.togai_id, c.status = 'ARCHIVED' as archived, p.name, c.enabled, c.vendor,
    c.buyer as customer, p.description, p.address ->> 'line1' as address, p.phones, c.external_id,
    c.smtp_connection as smtp_connection_id
from customer c join customer_profile p on p.customer = c.key
where c.workspace = $1 and c.hidden_at is null;

-- name: insert_contractor
-- Add a customer under the text of its number.
with made as (
    insert into customer (workspace, togai_id, yeti_id, wire_id, status, enabled, vendor, buyer, external_id,
        smtp_connection, created_at, updated_at)
    values ($1, $2::bigint::text, $2, $3, 'ACTIVE', $4, $5, $6, $7, $8, $9, $9) returning key
)
insert into customer_profile (customer, workspace, name, primary_email, address, description, phones, secret)
select key, $1, $10, '', $11::jsonb, $12, $13, $14 from made;

-- name: lock_contractor
-- Keep other changes of a customer waiting.
select key from customer where workspace = $1 and yeti_id = $2 and hidden_at is null for no key update;

-- name: update_contractor
-- Change what a carrier says of a customer; of its address the first line.
with changed as (
    update customer set enabled = $3, vendor = $4, buyer = $5, external_id = $6, smtp_connection = $7, updated_at = $8
    where workspace = $1 and key = $2 returning key
)
update customer_profile p set name = $9, description = $11, phones = $12,
    address = case when $10::text is not distinct from p.address ->> 'line1' then p.address
        else jsonb_strip_nulls(p.address || jsonb_build_object('line1', $10::text)) end
from changed where p.workspace = $1 and p.customer = changed.key;

-- name: hide_contractor
-- A carrier deleted a customer.
update customer set hidden_at = $3, updated_at = $3, smtp_connection = null where workspace = $1 and key = $2;

-- name: contractor_taken
-- Whether another customer has a name, or a number of the carrier's own.
select exists (select from customer c join customer_profile p on p.customer = c.key
        where c.workspace = $1 and c.hidden_at is null and p.name = $2 and c.yeti_id is distinct from $4) as name,
    exists (select from customer where workspace = $1 and hidden_at is null and external_id = $3
        and yeti_id is distinct from $4) as external_id;

-- name: hold_carrier_names
-- Keep a name and a number from others until the transaction ends; both are unique at the carrier's door alone.
select pg_advisory_xact_lock(7215004, place)
from (select distinct hashtext($1::int || ' ' || value) as place from unnest($2::text[]) as v (value) order by 1) as p;

-- name: has_accounts
-- Whether a carrier sees accounts of a customer.
select exists (select from account a join account_terms t on t.account = a.key
    where a.workspace = $1 and a.customer = $2 and t.hidden_at is null);
