"""Starting and stopping things.

Owns: the commands, the server and worker processes, the data directory, the embedded PostgreSQL.
Does not own: any rule or table. Nothing imports this room.
"""

OWNS: tuple[str, ...] = ()
