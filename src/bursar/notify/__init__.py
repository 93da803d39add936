"""Telling others what happened: by request, by e-mail.

Owns: the outbox, into which a business transaction writes what is to be told; deliveries, one per receiver, until they
are there or given up; the connections over which e-mail goes out; who wants to hear of what.
Does not own: what happened and what is said of it (the rooms above and their doors), contacts (accounts).

A channel is a sender (`web`, `mail`): it takes a message and says whether it is there. Signed webhooks will be a
channel beside these two; their ids are on the requests already.
"""

OWNS: tuple[str, ...] = ("smtp_connection", "event_subscription", "outbox", "delivery")
