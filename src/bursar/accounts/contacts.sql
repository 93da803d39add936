-- name: list_contacts
-- Contacts of customers that the carrier has not deleted.
select k.yeti_id as id, k.key, k.username, c.yeti_id as contractor_id, k.email, k.notes
from contact k join customer c on c.key = k.customer
where k.workspace = $1 and c.hidden_at is null;

-- name: add_contact
-- Add a contact as a carrier does.
insert into contact (workspace, yeti_id, customer, username, name, email, notes, login_access, verified, created_by,
    created_at)
select $1, nextval(format('yeti_object_%s', $1::int)::regclass), key, $3, '', $4, $5, false, false, $6, $7
from customer where workspace = $1 and yeti_id = $2 and hidden_at is null returning yeti_id;

-- name: lock_contact
-- Keep other changes of a contact waiting.
select key from contact where workspace = $1 and yeti_id = $2 for update;

-- name: change_contact
-- Change what a carrier says of a contact.
update contact k set customer = c.key, email = $4, notes = $5 from customer c
where k.workspace = $1 and k.key = $2 and c.workspace = $1 and c.yeti_id = $3 and c.hidden_at is null
returning k.key;

-- name: delete_contact
-- Remove a contact.
delete from contact where workspace = $1 and key = $2;

-- name: forget_contact
-- Nobody is told through a contact that is gone; whoever tells nobody any more has no list.
with told as (
    select account from account_terms
    where workspace = $1 and ($2 = any(send_invoices_to) or $2 = any(send_balance_notifications_to))
    order by account for update
)
update account_terms t set send_invoices_to = nullif(array_remove(t.send_invoices_to, $2), '{}'),
    send_balance_notifications_to = nullif(array_remove(t.send_balance_notifications_to, $2), '{}')
from told where t.workspace = $1 and t.account = told.account;
