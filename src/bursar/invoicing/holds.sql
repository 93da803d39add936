-- name: drafts_of
-- The drafts of accounts in the order in which they fall due.
select key from invoice where workspace = $1 and account = any($2::bigint[]) and status = 'DRAFT' order by due_at, key;

-- name: credits_to_expire
-- Credits whose range was over at an instant and that no draft waits for any more: its period began after that. A custom
-- draft that is not issued by itself may stand for ever, and keeps nothing from its end.
select c.key from credit c where c.workspace = $1 and c.granted > c.consumed + c.lapsed and c.ends_at <= $2
    and not exists (select from invoice i where i.workspace = $1 and i.account = c.account and i.status = 'DRAFT'
        and i.auto_advance and i.starts_at < c.ends_at)
order by c.key limit $3;

-- name: last_change_of_credits
-- When a credit of an account changed last.
select max(updated_at) from credit where workspace = $1 and account = $2;
