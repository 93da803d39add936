"""The way to PostgreSQL.

Owns: the connection pool, transactions, the loader of named statements, migrations, the audit trail and its chain,
idempotency records.
Does not own: any business table, any rule, any statement of another room.
"""

OWNS: tuple[str, ...] = ("audit", "audit_seal", "audit_head", "audit_sealer", "idempotency", "alembic_version")
