-- name: token_by_hash
-- A token and its workspace, before a workspace is known.
select t.key as token_key, t.prefix, t.scopes, t.expires_at, t.revoked_at, t.last_used_at, t.rate_limit, w.*
from token t join workspace w on w.key = t.workspace where t.hash = $1;

-- name: token_by_key
-- The token that a JWT stands for, and its workspace.
select t.key as token_key, t.prefix, t.scopes, t.expires_at, t.revoked_at, t.last_used_at, t.rate_limit, w.*
from token t join workspace w on w.key = t.workspace where t.key = $1;

-- name: touch_token
-- Remember that a token was used. Nobody waits for this to be on disk.
with soon as materialized (select set_config('synchronous_commit', 'off', true))
update token set last_used_at = $2 from soon
where key = $1 and (last_used_at is null or last_used_at < $3) returning key;

-- name: insert_token
-- Add a token; nothing where the same text exists.
insert into token (workspace, name, prefix, hash, scopes, created_at, expires_at, rate_limit)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (hash) do nothing
returning key as token_key, name as token_name, prefix, scopes, created_at as token_created_at, expires_at, revoked_at,
    last_used_at, rate_limit;

-- name: list_tokens
-- The tokens of a workspace after a key.
select key as token_key, name as token_name, prefix, scopes, created_at as token_created_at, expires_at, revoked_at,
    last_used_at, rate_limit
from token where workspace = $1 and key > $2 order by key limit $3;

-- name: find_tokens
-- Tokens in force by name, prefix or text.
select key as token_key, name as token_name, prefix, scopes, created_at as token_created_at, expires_at, revoked_at,
    last_used_at, rate_limit
from token where workspace = $1 and (name = $2 or prefix = $2 or hash = $3) and revoked_at is null
    and (expires_at is null or expires_at > $4)
order by key for update;

-- name: revoke_token
-- End a token.
update token set revoked_at = $2 where key = $1
returning key as token_key, name as token_name, prefix, scopes, created_at as token_created_at, expires_at, revoked_at,
    last_used_at, rate_limit;

-- name: end_token
-- Let a token expire.
update token set expires_at = $2 where key = $1
returning key as token_key, name as token_name, prefix, scopes, created_at as token_created_at, expires_at, revoked_at,
    last_used_at, rate_limit;

-- name: token_known
-- Whether a token with this hash exists.
select exists (select from token where hash = $1);

-- name: secret
-- The server's secret of a name.
select secret from server_secret where name = $1;

-- name: insert_secret
-- Keep a secret that was just drawn; nothing where another process was quicker.
insert into server_secret (name, secret) values ($1, $2) on conflict (name) do nothing returning name;
