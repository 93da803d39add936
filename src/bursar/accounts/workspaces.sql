-- name: insert_workspace
-- Add a workspace; nothing where the name is taken.
insert into workspace (name, sandbox, currency, timezone, net_term_days, grace_days, seller, created_at)
values ($1, $2, $3, $4, $5, $6, '{}', $7) on conflict (name) do nothing returning *;

-- name: insert_currencies
-- Give a workspace its currencies; a carrier starts with its own, at one to one.
insert into currency (workspace, code, exponent, yeti_id, rate)
select $1, code, exponent, case when code = $4 then 0 end, case when code = $4 then 1 end
from unnest($2::text[], $3::int[]) as c (code, exponent);

-- name: create_sequence
-- A numbering of its own, so that new customers and accounts do not queue for their numbers.
select bursar_create_sequence($1);

-- name: list_workspaces
-- Every workspace.
select * from workspace order by key;

-- name: find_workspace
-- A workspace by name.
select * from workspace where name = $1;

-- name: workspace_at
-- A workspace by key.
select * from workspace where key = $1;

-- name: has_begun
-- Whether business dates have been fixed: a plan's calendar or an invoiced period.
select exists (select from account_calendar where workspace = $1)
    or exists (select from account where workspace = $1 and closed_until is not null);

-- name: set_clock
-- Move a sandbox's clock.
update workspace set clock_at = $2 where key = $1;
