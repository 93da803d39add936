"""What must always hold of orders."""

from collections import defaultdict
from typing import Literal

import msgspec
import zstandard

from bursar.catalog import plans
from bursar.db.database import Connection
from bursar.db.verify import Check
from bursar.invoicing.document import from_text, unpack
from bursar.invoicing.model import same_charges
from bursar.invoicing.order_lines import PlanOrder, money_content
from bursar.invoicing.orders import queries
from bursar.purchases.orders import purchase_of

_PAGE = 200
_LIMIT = 20


async def _ordered(connection: Connection) -> list[str]:
    wrong = await connection.fetch(queries.wrong_orders)
    stray = await connection.fetch(queries.orders_without_purchase)
    return [
        *(
            f"purchase {r['wire_id']} of workspace {r['workspace']} is {r['status']} and {r['payment_mode']}, its order"
            f" {r['order_status']}"
            for r in wrong
        ),
        *(f"invoice {r['wire_id']} is an order of no purchase" for r in stray),
    ]


async def _moved(connection: Connection) -> list[str]:
    return [
        f"purchase {r['wire_id']} of workspace {r['workspace']} is {r['status']}, has {r['movements']} movements,"
        f" leaves {r['deferred']:f} deferred and gave its wallet {r['wallet']:f}"
        for r in await connection.fetch(queries.wrong_order_movements)
    ]


async def _drawn_again(connection: Connection) -> list[str]:
    problems: list[str] = []
    last = 0
    while rows := await connection.fetch(queries.page_orders, last, _PAGE):
        last = rows[-1]["key"]
        for row in rows:
            purchase = purchase_of(row)
            try:
                kept = from_text(unpack(row["content"]))
            except (zstandard.ZstdError, msgspec.MsgspecError):
                continue  # told as a document that has changed
            if purchase.goods.topup is not None:
                kind: Literal["PREPAID", "WALLET_TOPUP"] = "PREPAID" if purchase.type == "PREPAID" else "WALLET_TOPUP"
                content = money_content(kind, purchase.goods.topup, purchase.currency, row["exponent"])
            else:
                assert purchase.version is not None
                plan = await plans.version(connection, row["workspace"], purchase.version)
                names = defaultdict[str, str](str)
                content = PlanOrder(plan, purchase.goods, purchase.currency, row["exponent"], names).content()
            if not same_charges(kept.lines, content.lines) or kept.total != content.total:
                problems.append(f"order {kept.id} is of {kept.total}, its plan and quantities give {content.total}")
    return problems[:_LIMIT]


CHECKS: list[Check] = [
    Check("I5", "every purchase has one order, in the state that its own follows from", _ordered),
    Check("I3", "what was bought is granted once, and paid for or deferred until then", _moved),
    Check("I6", "plans and quantities give every order again, to the last digit", _drawn_again),
]
