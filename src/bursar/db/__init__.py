"""The way to PostgreSQL.

Owns: the connection pool, transactions, the loader of named statements, migrations, the audit trail.
Does not own: any business table, any rule, any statement of another room.
"""

OWNS: tuple[str, ...] = ("audit", "alembic_version")
