-- name: find_mark
-- How far an import came.
select position, line, digest, rows, known, rejected, rejects_size from import_mark where workspace = $1 and source = $2;

-- name: keep_mark
-- Note how far an import came.
insert into import_mark (workspace, source, position, line, digest, rows, known, rejected, rejects_size, recorded_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (workspace, source) do update set position = excluded.position, line = excluded.line,
    digest = excluded.digest, rows = excluded.rows, known = excluded.known, rejected = excluded.rejected,
    rejects_size = excluded.rejects_size, recorded_at = excluded.recorded_at;

-- name: drop_mark
-- An import has come to its end.
delete from import_mark where workspace = $1 and source = $2;
