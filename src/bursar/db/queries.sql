-- name: insert_audit
-- One line of the audit trail.
insert into audit (workspace, recorded_at, actor, action, kind, object, detail) values ($1, $2, $3, $4, $5, $6, $7::jsonb);

-- name: migration_version
-- The migration that the database stands at.
select version_num from alembic_version;
