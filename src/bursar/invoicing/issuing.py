"""Documents are issued: posted, numbered, frozen, and paid as far as wallets reach, in one transaction."""

import hashlib
from collections.abc import Sequence

import msgspec

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.db import audit
from bursar.db.database import Connection
from bursar.invoicing import settlement, store
from bursar.invoicing.content import Drawn, posting_of
from bursar.invoicing.model import sequence_id, status_at_issue
from bursar.invoicing.release import defer
from bursar.ledger import account_wallets
from bursar.ledger.service import post_all


async def issue(connection: Connection, caller: Caller, drawn: Sequence[Drawn]) -> list[Drawn]:
    """Issue invoices, whose rows the caller holds and whose content is `model.postable`; returns them with numbers.

    Their numbers are in the order given. The series is held until the transaction ends: do nothing slow after it.
    """
    # Wallets come before other balances, whoever holds them.
    funds = await account_wallets.spendable(
        connection, caller, {one.header.account: one.header.currency for one in drawn}
    )
    transactions = [posting for one in drawn if (posting := posting_of(one)) is not None]
    await post_all(connection, caller, transactions)
    crash.point("invoices posted")
    # Last of all: the series is held until the commit, and other runs wait for it.
    numbers = await store.draw_numbers(connection, caller.workspace, len(drawn))
    issued = [_numbered(one, number) for one, number in zip(drawn, numbers, strict=True)]
    hashes = await store.freeze(
        connection,
        caller.workspace,
        caller.now,
        [(one.header, number, one.document) for one, number in zip(issued, numbers, strict=True)],
    )
    crash.point("invoices frozen")
    statuses = [(one.header.key, status_at_issue(one.document.total)) for one in issued]
    await store.set_statuses(connection, caller.workspace, caller.wall, statuses)
    await defer(connection, caller, [(one.header.key, one.document) for one in issued])
    if payable := [one.header.key for one in issued if one.header.account in funds and one.header.uses_wallet]:
        await settlement.pay_from_wallets(connection, caller, payable)
    first, last = issued[0].document.sequence_id, issued[-1].document.sequence_id
    digest = hashlib.sha256(b"".join(hashes)).hexdigest()
    detail = {"count": len(issued), "first": first, "last": last, "digest": digest}
    await audit.record(connection, caller, "issue", "invoices", "", detail)
    crash.point("invoices issued")
    return issued


def _numbered(one: Drawn, number: int) -> Drawn:
    document = msgspec.structs.replace(one.document, sequence_id=sequence_id(number))
    return Drawn(one.header, document, one.content)
