"""An account under many hands: over real sockets, at server processes of their own, and nobody gives up."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from tests.conftest import PLAIN
from tests.http.togai import catalog
from tests.runtime.program import Program, command

HOLDS = "/bursar/v1/holds"
NOON = "2024-05-31T12:00:00Z"
PATIENCE = 60.0
PACK, PRICE = Decimal(10), Decimal(2)
"""What a pack gives, of a feature of its own, and costs."""
UNKNOWN = 503
"""The server lost its database under way, and does not know either what became of the request."""

exact = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass
class Place:
    """A data directory, and the program that runs on it at the moment."""

    folder: Path
    running: Program

    def restart(self) -> None:
        """Kill the program and start it again; it has another address then."""
        self.running.kill()
        following = Program(self.folder, "--workers", "2")
        following.ready()
        self.running = following

    def holds(self) -> None:
        """All that `bursar verify` proves is as it should be, and no request met anything unexpected."""
        found = command("verify", "--data-dir", str(self.folder))
        assert found["holds"] is True, found
        assert self.running.failures() == []


@dataclass
class Stand:
    """A sandbox whose account `acme` has money, and units of a feature that events and holds draw."""

    place: Place
    token: str
    feature: str
    """The feature that is drawn."""
    spare: str
    """The feature of which packs give units."""
    pack: str
    """The plan by which they are bought."""
    units: int
    """How many there were of the feature to begin with, in one entry."""
    entry: str
    """The path of that entry."""
    repeats: int = 0
    """How often somebody who had been heard had to ask again."""

    @classmethod
    def make(cls, place: Place, name: str, money: Any, units: int) -> "Stand":
        """A new one, with so much in the wallet and so many units."""
        command("workspace", "create", name, "--sandbox", "--data-dir", str(place.folder))
        token = str(command("token", "create", "--workspace", name, "--data-dir", str(place.folder))["token"])
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=place.running.url, headers=headers, timeout=30, verify=PLAIN) as http:
            catalog.expect(http.post("/bursar/v1/clock", json={"now": NOON}), 200)
            catalog.customer(http)
            catalog.schema(http)
            links = [{"schemaName": "llm", "attributeName": "tokens"}]
            drawn = _feature(http, "Tokens", links)
            spare = _feature(http, "Calls", [])
            free = _plan(http, drawn, 1, 0)
            bought = http.post("/accounts/acme/purchases", json={"pricePlanId": free, "quantity": units})
            entry = f"{catalog.expect(bought, 200)['id']}#0$PURCHASE"
            path = f"/accounts/acme/features/{drawn}/entries/{quote(entry)}"
            catalog.expect(http.post("/accounts/acme/wallet_topup", json={"topupAmount": money}), 200)
            return cls(place, token, drawn, spare, _plan(http, spare, int(PACK), int(PRICE)), units, path)

    @asynccontextmanager
    async def client(self, connections: int = 64) -> AsyncIterator[httpx.AsyncClient]:
        """A client with so many connections."""
        headers = {"authorization": f"Bearer {self.token}"}
        limits = httpx.Limits(max_connections=connections)
        async with httpx.AsyncClient(headers=headers, limits=limits, timeout=20, verify=PLAIN) as http:
            yield http

    async def send(
        self, http: httpx.AsyncClient, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        """The answer of a request that is sent until there is one: it must be safe to repeat."""
        headers = {} if key is None else {"idempotency-key": key}
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = await http.request(method, self.place.running.url + path, json=body, headers=headers)
                if answer.status_code != UNKNOWN:
                    return answer.status_code, exact(answer.content)
                self.repeats += 1
            except httpx.TransportError as error:
                self.repeats += not isinstance(error, httpx.ConnectError)
            assert time.monotonic() < deadline, f"{method} {path}: nobody answers"
            await asyncio.sleep(0.1)

    async def read(self, path: str) -> Any:
        """What is found at a path."""
        async with self.client(1) as http:
            status, found = await self.send(http, "GET", path)
        assert status == 200, found
        return found

    async def left(self, feature: str) -> Decimal:
        """The units that are left of a feature."""
        return Decimal((await self.read(f"/accounts/acme/features/{feature}"))["balance"])

    async def money(self) -> Decimal:
        """What the wallet has."""
        return Decimal((await self.read("/accounts/acme/wallet"))["balance"])

    async def entries(self) -> list[dict[str, Any]]:
        """Every entry of the wallet, newest first."""
        return await self._pages("/accounts/acme/wallet/entries")

    async def purchases(self) -> list[dict[str, Any]]:
        """Every purchase, newest first."""
        return await self._pages("/accounts/acme/purchases")

    async def events(self) -> int:
        """How many events were let in."""
        found = await self.read("/bursar/v1/ingest/balance")
        assert found["received"] == found["unmetered"], "each once, and there is no meter"
        return int(found["received"])

    async def _pages(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page = await self.read(path)
        while True:
            found += page["data"]
            if not page.get("nextToken"):
                return found
            page = await self.read(f"{path}?nextToken={page['nextToken']}")


class Hand:
    """Does one thing after the other under keys of its own, and notes what became of each."""

    def __init__(self, stand: Stand, http: httpx.AsyncClient, name: str) -> None:
        self.name = name
        self.bought: list[str] = []
        """Ids of purchases that were granted."""
        self.waiting: list[str] = []
        """Ids of those that were not."""
        self.used = self.settled = self.spent = self.paid_in = Decimal(0)
        """Units that events used and that holds were settled at; money that holds were settled at, and that came in."""
        self.given = Decimal(stand.units)
        """Units that there are, used or not, since this hand has given any."""
        self.settlements = 0
        """How many holds of money were settled."""
        self.refused: list[tuple[str, str]] = []
        """What kind of thing was refused, and why."""
        self.told = 0
        """How many answers it got."""
        self._stand = stand
        self._http = http
        self._count = 0

    def key(self) -> str:
        """One that nobody else has, nor this hand for anything else."""
        self._count += 1
        return f"{self.name}-{self._count}"

    async def use(self, units: int = 1) -> None:
        """Send an entitled event."""
        name = self.key()
        sent = {"event": catalog.event(name, NOON, tokens=units)}
        # Without a key of its own the event's id does as well: known means that it was let in.
        key = name if self._count % 2 else None
        status, found = await self._send("POST", "/entitled", sent, key)
        if status == 200 or (status == 409 and key is None):
            self.used += units
        else:
            self._refuse("use", status, found)

    async def hold(self, feature: str | None, amount: Any, taken: Any) -> None:
        """Set an amount aside, and settle it at `taken`, or release it where that is None."""
        body = {"accountId": "acme", "amount": amount, "expiresIn": 86_400}
        status, held = await self._send(
            "POST", HOLDS, body | ({} if feature is None else {"featureId": feature}), self.key()
        )
        if status != 201:
            self._refuse("hold", status, held)
            return
        verb, sent = ("release", None) if taken is None else ("settle", {"amount": taken})
        status, found = await self._send("POST", f"{HOLDS}/{held['id']}/{verb}", sent, self.key())
        assert status == 200, found
        if feature is None:
            self.spent += Decimal(str(taken or 0))
            self.settlements += taken is not None
        else:
            self.settled += Decimal(str(taken or 0))

    async def buy(self) -> None:
        """Buy a pack; the wallet pays for it where it can."""
        body = {"pricePlanId": self._stand.pack}
        name = self.key()
        # The key in the body does what the key in the header does.
        if self._count % 2:
            answer = await self._send("POST", "/accounts/acme/purchases", body, name)
        else:
            answer = await self._send("POST", "/accounts/acme/purchases", body | {"idempotencyKey": name})
        self._note(*answer)

    async def propose(self) -> None:
        """Have a pack proposed, and approve it."""
        body = {"type": "ENTITLEMENT_GRANT", "paymentMode": "PREPAID", "pricePlanId": self._stand.pack}
        status, made = await self._send("POST", "/accounts/acme/purchase_proposals", body, self.key())
        assert status == 200, made
        await self.approve(made["id"])

    async def approve(self, proposal: str) -> None:
        """Approve a proposal: however often, it is one purchase."""
        path = f"/purchase_proposals/{proposal}/update_status"
        status, found = await self._send("POST", path, {"status": "APPROVE"})
        assert status == 200, found
        self._note(*await self._send("GET", f"/purchases/{proposal}"))

    async def top_up(self, amount: Any) -> None:
        """Put money into the wallet."""
        status, found = await self._send("POST", "/accounts/acme/wallet_topup", {"topupAmount": amount}, self.key())
        assert status == 200, found
        self.paid_in += Decimal(str(amount))

    async def give(self, units: int) -> None:
        """Make the entry larger that there was to begin with; nobody else does."""
        status, found = await self._send("PATCH", self._stand.entry, {"granted": float(self.given + units)})
        assert status == 200, found
        self.given += units

    async def _send(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        answer = await self._stand.send(self._http, method, path, body, key)
        self.told += 1
        return answer

    def _note(self, status: int, purchase: Any) -> None:
        assert status == 200, purchase
        (self.bought if purchase["status"] == "SUCCESS" else self.waiting).append(purchase["id"])

    def _refuse(self, kind: str, status: int, found: Any) -> None:
        assert status == 400, (kind, status, found)
        self.refused.append((kind, found.get("message") or found["detail"]))


def _feature(http: httpx.Client, name: str, links: list[dict[str, str]]) -> str:
    body = {"name": name, "schemaAssociations": links}
    return str(catalog.expect(http.post("/features", json=body), 200)["id"])


def _plan(http: httpx.Client, feature: str, units: int, rate: int) -> str:
    card = {
        "featureId": feature, "invoiceTiming": "PREPAID",
        "featureConfigs": [{"featureCreditLimit": units, "effectiveUntil": "P1Y"}],
        "ratePlan": {"pricingModel": "TIERED", "slabs": [{"order": 1, "startAfter": 0, "priceType": "FLAT"}]},
        "rateValues": [{"currency": "USD", "slabRates": [{"order": 1, "rate": rate}]}],
    }  # fmt: skip
    details = {"supportedCurrencies": ["USD"], "billingEntitlementRateCards": [card]}
    body = {"name": f"{units} for {rate}", "type": "PURCHASE", "pricePlanDetails": details}
    made = str(catalog.expect(http.post("/price_plans", json=body), 200)["id"])
    catalog.expect(http.post(f"/price_plans/{made}/activate", json={"currencies": ["USD"]}), 200)
    return made
