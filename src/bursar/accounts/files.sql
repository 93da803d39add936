-- name: hold_files
-- Let one file at a time be added to a workspace, so that its limit holds.
select pg_advisory_xact_lock(7215003, $1);

-- name: stored_bytes
-- How many bytes of files a workspace keeps.
select coalesce(sum(size), 0)::bigint from stored_file where workspace = $1;

-- name: insert_file
-- Keep a file.
insert into stored_file (workspace, wire_id, name, media_type, size, content, created_at) values ($1, $2, $3, $4, $5, $6, $7);

-- name: file
-- A file without its content.
select wire_id, name, media_type, size, created_at from stored_file where workspace = $1 and wire_id = $2;

-- name: file_of_link
-- A file by the id of its link, before a workspace is known: the link's signature was checked.
select name, media_type, content from stored_file where wire_id = $1;
