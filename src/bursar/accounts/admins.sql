-- name: insert_admin
-- Add a user; nothing where the name is taken.
insert into admin_user (workspace, username, subject, password_hash, allowed_ips, created_at, updated_at)
values ($1, $2, $3, $4, $5::inet[], $6, $6) on conflict (username) do nothing
returning username, enabled, allowed_ips, created_at, updated_at;

-- name: change_admin
-- Give a user another password, and with it another subject, or let it in or out; null leaves what it is.
update admin_user set password_hash = coalesce($3, password_hash), subject = coalesce($4, subject),
    enabled = coalesce($5, enabled), updated_at = $6
where workspace = $1 and username = $2 returning username, enabled, allowed_ips, created_at, updated_at;

-- name: list_admins
-- The users of a workspace by name.
select username, enabled, allowed_ips, created_at, updated_at from admin_user where workspace = $1 order by username;

-- name: admin_by_name
-- A user and its workspace, before a workspace is known.
select a.username, a.subject, a.password_hash, a.enabled, a.allowed_ips, w.*
from admin_user a join workspace w on w.key = a.workspace where a.username = $1;

-- name: admin_by_subject
-- The user that a token names, and its workspace.
select a.username, a.subject, a.password_hash, a.enabled, a.allowed_ips, w.*
from admin_user a join workspace w on w.key = a.workspace where a.subject = $1;
