"""Starting and stopping things.

Owns: the commands, the server and worker processes, the data directory, the embedded PostgreSQL.
Does not own: any rule or table. Nothing imports this room.
"""

import gc

# Before anything else is imported: that makes much and no rubbish, and looking for it takes a sixth of a start.
gc.set_threshold(100_000, 20, 20)

OWNS: tuple[str, ...] = ()
