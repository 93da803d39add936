"""Runs the migrations on the connection that `bursar.db.migrate` hands over."""

from alembic import context

from bursar.db.database import SCHEMA

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema=SCHEMA, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
