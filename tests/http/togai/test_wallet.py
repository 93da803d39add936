"""Wallets by the official client: topped up, used and not used, and every movement of any door among their entries."""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest
from togai_client import ApiClient, Configuration
from togai_client.api.wallet_api import WalletApi
from togai_client.exceptions import ApiException
from togai_client.models.topup_wallet_request import TopupWalletRequest
from togai_client.models.update_wallet_request import UpdateWalletRequest
from togai_client.models.wallet_status import WalletStatus

from bursar.http.app import load_doors
from bursar.http.openapi import document as document_of
from tests.conftest import PLAIN, Server, Tenant
from tests.http.togai.catalog import customer, expect
from tests.http.yeti.carrier import contractor, document, get, make, send

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)
Movement = tuple[Decimal, str | None]
"""What a wallet goes up by, and the number that the entry names."""


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace(clock=NOW)


@pytest.fixture(scope="module")
def api(tenant: Tenant) -> WalletApi:
    return WalletApi(tenant.togai)


_names = (f"acc-{number}" for number in range(1000))


def account(tenant: Tenant, **more: Any) -> str:
    name = next(_names)
    customer(tenant.http, name, **more)
    return name


def top_up(amount: Any) -> TopupWalletRequest:
    return TopupWalletRequest(topupAmount=amount)


def refused(call: Callable[[], Any], status: int, *words: str) -> None:
    with pytest.raises(ApiException) as caught:
        call()
    assert caught.value.status == status, caught.value.body
    for word in words:
        assert word in json.loads(caught.value.body)["message"], caught.value.body


def exact(tenant: Tenant, path: str, **parameters: Any) -> Any:
    """An answer whose numbers are what they are on the wire."""
    answer = tenant.http.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)


def entries(tenant: Tenant, name: str, size: int) -> Iterator[Any]:
    """All entries of a wallet, page by page."""
    page = exact(tenant, f"/accounts/{name}/wallet/entries", pageSize=size)
    while True:
        yield from page["data"]
        if page["nextToken"] is None:
            return
        assert len(page["data"]) == size
        page = exact(tenant, f"/accounts/{name}/wallet/entries", nextToken=page["nextToken"])


def audited(tenant: Tenant, wallet: str) -> list[tuple[str, Any]]:
    """Actions on a wallet and their details, oldest first."""
    found = expect(tenant.http.get("/bursar/v1/audit", params={"object": wallet}), 200)["entries"]
    return [(entry["action"], entry["detail"]) for entry in reversed(found)]


def test_every_account_has_a_wallet(tenant: Tenant, api: WalletApi) -> None:
    name = account(tenant, invoiceCurrency="EUR")
    wallet = api.wallet_balance_for_account(name)
    shown = expect(tenant.http.get(f"/accounts/{name}"), 200)
    assert wallet.id == shown["togaiAccountId"].replace("account.", "wallet.", 1)
    assert (wallet.account_id, wallet.customer_id, wallet.credit_unit) == (name, name, "EUR")
    assert (wallet.balance, wallet.hold_amount, wallet.status) == (0, 0, WalletStatus.ACTIVE)
    assert wallet.effective_from == wallet.created_at == wallet.updated_at
    page = api.wallet_entries_for_account(name)
    assert (page.data, page.next_token) == ([], None)
    assert audited(tenant, wallet.id) == [], "to read it makes nothing"


def test_the_document_says_that_amounts_are_numbers() -> None:
    schemas = document_of(load_doors()[0])["components"]["schemas"]
    assert schemas["WalletBalanceResponse"]["properties"]["balance"] == {"type": "number"}
    assert schemas["TopupWalletRequest"]["properties"]["topupAmount"] == {"type": "number"}
    assert schemas["MetricDataPoints"]["properties"]["metricValues"] == {"type": "array", "items": {"type": "number"}}


def test_a_top_up(tenant: Tenant, api: WalletApi) -> None:
    name = account(tenant)
    wallet = api.top_up_wallet_for_account(name, top_up(50))
    assert (wallet.balance, wallet.hold_amount) == (50, 0)
    assert api.top_up_wallet_for_account(name, top_up(0.25)).balance == 50.25
    assert api.wallet_balance_for_account(name).balance == 50.25
    second, first = api.wallet_entries_for_account(name).data
    assert (first.transaction_type, first.status, first.amount, first.closing_balance) == (
        "CREDITED", "COMPLETED", 50, 50,
    )  # fmt: skip
    assert (second.amount, second.closing_balance) == (0.25, 50.25)
    assert first.wallet_id == second.wallet_id == wallet.id
    assert first.description == "top-up"
    assert first.entity_id is None
    assert first.id != second.id
    assert abs(first.created_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert audited(tenant, wallet.id) == [
        ("top_up", {"amount": "50", "balance": "50"}), ("top_up", {"amount": "0.25", "balance": "50.25"}),
    ]  # fmt: skip
    answer = tenant.http.patch(f"/accounts/{name}", json={"invoiceCurrency": "EUR"})
    assert answer.status_code == 400, "money fixes the currency"


def test_a_top_up_is_posted_against_cash(server: Server, tenant: Tenant, api: WalletApi) -> None:
    name = account(tenant, invoiceCurrency="KWD")
    api.top_up_wallet_for_account(name, top_up(7.125))

    async def posted(db: Any) -> list[tuple[Any, ...]]:
        async with db.transaction(tenant.caller.workspace) as connection:
            rows = await connection.fetch(
                "select t.cause, t.accounting_date, a.kind, a.account is not null as owned, p.amount"
                " from posting p join ledger_account a on a.key = p.ledger_account"
                " join ledger_transaction t on t.key = p.transaction where a.currency = 'KWD' order by p.line"
            )
            return [tuple(row) for row in rows]

    assert server.run(posted) == [
        ("wallet_topup", NOW.date(), "cash", False, Decimal("7.125")),
        ("wallet_topup", NOW.date(), "wallet", True, Decimal("-7.125")),
    ]


def test_a_top_up_that_is_sent_again_is_one(tenant: Tenant) -> None:
    name = account(tenant)
    path, key = f"/accounts/{name}/wallet_topup", {"idempotency-key": "once"}
    first = tenant.http.post(path, json={"topupAmount": 5}, headers=key)
    again = tenant.http.post(path, json={"topupAmount": 5}, headers=key)
    assert (first.status_code, first.text) == (again.status_code, again.text)
    assert again.headers["idempotency-replayed"] == "true"
    assert tenant.http.post(path, json={"topupAmount": 6}, headers=key).status_code == 422
    assert len(list(entries(tenant, name, 50))) == 1
    assert exact(tenant, f"/accounts/{name}/wallet")["balance"] == 5


@pytest.mark.parametrize(
    ("currency", "amount", "rule"),
    [
        ("USD", "0", "topupAmount: must be above 0"),
        ("USD", "-5", "topupAmount: must be above 0"),
        ("USD", "0.001", "topupAmount: must have at most 2 decimals, as USD has"),
        ("JPY", "10.5", "topupAmount: must have at most 0 decimals, as JPY has"),
        ("USD", "1e26", "topupAmount: must be a number below 10^26"),
        ("USD", "0.0000000000001", "topupAmount: must be a number below 10^26 with at most 12 decimals"),
        ("USD", '"ten"', "topupAmount: "),
        ("USD", "null", "topupAmount: "),
        ("USD", "99999999999999999999999999", "more than 26 digits"),
    ],
)
def test_amounts_that_are_refused(tenant: Tenant, currency: str, amount: str, rule: str) -> None:
    name = account(tenant, invoiceCurrency=currency)
    path = f"/accounts/{name}/wallet_topup"
    expect(tenant.http.post(path, json={"topupAmount": 1}), 200)
    headers = {"content-type": "application/json"}
    answer = tenant.http.post(path, content=f'{{"topupAmount": {amount}}}', headers=headers)
    assert answer.status_code == 400, answer.text
    assert rule in answer.json()["message"]
    assert exact(tenant, f"/accounts/{name}/wallet")["balance"] == 1
    assert len(list(entries(tenant, name, 50))) == 1


def test_bodies_that_are_refused(tenant: Tenant) -> None:
    name = account(tenant)
    cases: list[tuple[str, str, Any, str]] = [
        ("POST", "wallet_topup", {}, "topupAmount"),
        ("POST", "wallet_topup", {"topupAmount": 1, "purchaseAmount": 1}, "purchaseAmount"),
        ("POST", "wallet_topup", None, "JSON"),
        ("PATCH", "wallet", {"status": "CLOSED"}, "status"),
        ("PATCH", "wallet", {"effectiveFrom": "soon"}, "effectiveFrom"),
        ("PATCH", "wallet", {"balance": 5}, "balance"),
    ]
    for method, path, body, word in cases:
        answer = tenant.http.request(method, f"/accounts/{name}/{path}", json=body)
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["message"]
    for parameters in ({"pageSize": "51"}, {"pageSize": "0"}, {"nextToken": "xyz"}, {"nextToken": "x" * 501}):
        answer = tenant.http.get(f"/accounts/{name}/wallet/entries", params=parameters)
        assert answer.status_code == 400, answer.text


def test_a_wallet_that_cannot_be_used(tenant: Tenant, api: WalletApi) -> None:
    name = account(tenant)
    api.top_up_wallet_for_account(name, top_up(10))
    before = api.wallet_balance_for_account(name)
    wallet = api.update_wallet_for_account(name, UpdateWalletRequest(status=WalletStatus.INACTIVE))
    assert (wallet.status, wallet.balance) == (WalletStatus.INACTIVE, 10)
    assert wallet.effective_from == before.effective_from
    assert wallet.updated_at is not None
    assert before.updated_at is not None
    assert wallet.updated_at > before.updated_at
    refused(lambda: api.top_up_wallet_for_account(name, top_up(1)), 400, wallet.id, name, "INACTIVE")
    assert api.wallet_balance_for_account(name) == wallet
    pay(tenant, name, Decimal(2))
    assert api.wallet_balance_for_account(name).balance == 12, "a carrier's payment asks for no status"

    later = NOW + timedelta(seconds=1)
    wallet = api.update_wallet_for_account(name, UpdateWalletRequest(status=WalletStatus.ACTIVE, effectiveFrom=later))
    assert (wallet.status, wallet.effective_from) == (WalletStatus.ACTIVE, later)
    refused(lambda: api.top_up_wallet_for_account(name, top_up(1)), 400, "2024-05-10T12:00:01")
    unchanged = api.update_wallet_for_account(name, UpdateWalletRequest())
    assert unchanged == wallet
    api.update_wallet_for_account(name, UpdateWalletRequest(effectiveFrom=NOW))
    assert api.top_up_wallet_for_account(name, top_up(1)).balance == 13
    assert [action for action, _ in audited(tenant, wallet.id)] == ["top_up", *["update"] * 4, "top_up"]


def test_the_wallet_of_an_archived_account_is_for_reading(tenant: Tenant, api: WalletApi) -> None:
    name = account(tenant)
    api.top_up_wallet_for_account(name, top_up(10))
    expect(tenant.http.delete(f"/accounts/{name}"), 200)
    refused(lambda: api.top_up_wallet_for_account(name, top_up(1)), 400, name, "archived")
    refused(lambda: api.update_wallet_for_account(name, UpdateWalletRequest()), 400, name, "archived")
    assert api.wallet_balance_for_account(name).balance == 10
    assert [entry.amount for entry in api.wallet_entries_for_account(name).data] == [10]


def requests_of(api: WalletApi, name: str) -> list[Callable[[], Any]]:
    return [
        lambda: api.wallet_balance_for_account(name),
        lambda: api.wallet_entries_for_account(name),
        lambda: api.update_wallet_for_account(name, UpdateWalletRequest(status=WalletStatus.ACTIVE)),
        lambda: api.top_up_wallet_for_account(name, top_up(1)),
    ]


def test_accounts_that_are_unknown(server: Server, tenant: Tenant, api: WalletApi) -> None:
    name = account(tenant)
    stranger = WalletApi(server.workspace().togai)
    for call in (*requests_of(api, "nobody"), *requests_of(stranger, name)):
        refused(call, 404, "account", "was not found")
    assert exact(tenant, f"/accounts/{name}/wallet")["balance"] == 0


def test_tokens_that_may_not(tenant: Tenant) -> None:
    name = account(tenant)

    def by(token: str) -> WalletApi:
        return WalletApi(ApiClient(Configuration(host=tenant.url, access_token=token)))

    def token(**more: Any) -> str:
        return str(expect(tenant.http.post("/bursar/v1/tokens", json={"name": "narrow", **more}), 201)["token"])

    for call in requests_of(by("nobody"), name):
        refused(call, 401)
    read, write = requests_of(by(token(scopes=["read"])), name), requests_of(by(token(scopes=["write"])), name)
    for call in (*read[2:], *write[:2]):
        refused(call, 403, "scope")
    assert [call().balance for call in (read[0], *write[2:])] == [0, 0, 1]
    # Not by the client: it waits as long as it is told to, and tries again.
    headers = {"authorization": f"Bearer {token(rateLimit=1)}"}
    url = f"{tenant.url}/accounts/{name}/wallet"
    answers = [httpx.get(url, headers=headers, verify=PLAIN).status_code for _ in range(5)]
    assert answers[0] == 200
    assert answers[-1] == 429
    assert httpx.get(f"{url}/entries", headers=headers, verify=PLAIN).status_code == 429
    assert httpx.patch(url, headers=headers, json={}).status_code == 429
    assert httpx.post(f"{url}_topup", headers=headers, json={"topupAmount": 1}, verify=PLAIN).status_code == 429
    assert exact(tenant, f"/accounts/{name}/wallet")["balance"] == 1


def number_of(tenant: Tenant, name: str) -> str:
    """The carrier's number of an account."""
    wire = expect(tenant.http.get(f"/accounts/{name}"), 200)["name"]
    rows = get(tenant, "accounts", params={"filter[name]": wire, "page[size]": 1000})["data"]
    assert len(rows) == 1, "give accounts of these tests names of their own"
    return str(rows[0]["id"])


def pay(tenant: Tenant, name: str, amount: Decimal) -> Movement:
    expect(tenant.http.patch(f"/accounts/{name}", json={"name": f"Name of {name}"}), 200)
    number = number_of(tenant, name)
    sent = document("payments", {"amount": str(amount)}, account=("accounts", number))
    return amount, str(make(tenant, "payments", sent)["id"])


class Walk:
    """One account moved at both doors, beside the sum that a list of its movements makes."""

    def __init__(self, tenant: Tenant, name: str) -> None:
        self.tenant = tenant
        owner = contractor(tenant, name)
        made = make(tenant, "accounts", document("accounts", {"name": name}, contractor=("contractors", owner)))
        self.number = self.name = str(made["id"])
        self.done: list[Movement] = []
        kind = {"name": name, "provisioning-class": "Billing::Provisioning::Logging"}
        self.kind = str(make(tenant, "service-types", document("service-types", kind))["id"])

    def top_up(self, amount: Decimal) -> None:
        amount = max(abs(amount).quantize(Decimal("0.01")), Decimal("0.01"))
        expect(self.tenant.http.post(f"/accounts/{self.name}/wallet_topup", json={"topupAmount": float(amount)}), 200)
        self.done.append((amount, None))

    def pay(self, amount: Decimal) -> None:
        sent = document("payments", {"amount": str(amount)}, account=("accounts", self.number))
        self.done.append((amount, str(make(self.tenant, "payments", sent)["id"])))

    def charge(self, amount: Decimal) -> None:
        sent = document("transactions", {"amount": str(amount)}, account=("accounts", self.number))
        self.done.append((-amount, str(make(self.tenant, "transactions", sent)["id"])))

    def correct(self, amount: Decimal) -> None:
        sent = document("balance-correction", {"correction": str(amount)}, self.number)
        assert send(self.tenant, "PUT", f"accounts/{self.number}/balance-correction", sent).status_code == 200
        self.done.append((amount, None))

    def serve(self, amount: Decimal) -> None:
        """A service that costs something at once."""
        sent = document(
            "services", {"initial-price": str(abs(amount)), "renew-price": "0"}, account=("accounts", self.number),
            service_type=("service-types", self.kind),
        )  # fmt: skip
        made = make(self.tenant, "services", sent)
        (charge,) = get(self.tenant, f"services/{made['id']}/transactions")["data"]
        self.done.append((-abs(amount), str(charge["id"])))

    @property
    def total(self) -> Decimal:
        return sum((amount for amount, _ in self.done), Decimal(0))

    def seen(self) -> tuple[Decimal, Decimal]:
        """The balance at both doors."""
        there = get(self.tenant, f"accounts/{self.number}")["data"]["attributes"]["balance"]
        return exact(self.tenant, f"/accounts/{self.name}/wallet")["balance"], Decimal(there)


def test_entries_are_the_movements_of_every_door(tenant: Tenant) -> None:
    walk, draw = Walk(tenant, "walk"), random.Random(11)
    steps = [walk.top_up, walk.pay, walk.charge, walk.correct, walk.serve]
    order = steps * 4
    draw.shuffle(order)
    for step in order:
        step(Decimal(draw.choice((-1, 1)) * draw.randint(1, 10**9)).scaleb(-draw.choice((0, 2, 5, 12))))
        assert walk.seen() == (walk.total, walk.total)
    listed = list(entries(tenant, walk.name, 50))
    for size in (1, 7, 20):
        assert list(entries(tenant, walk.name, size)) == listed
    assert len({entry["id"] for entry in listed}) == len(order)
    closing = Decimal(0)
    for entry, (amount, number) in zip(reversed(listed), walk.done, strict=True):
        closing += amount
        assert entry["transactionType"] == ("CREDITED" if amount > 0 else "DEBITED")
        assert (entry["amount"], entry["closingBalance"]) == (abs(amount), closing)
        assert (entry.get("entityId"), entry["status"]) == (number, "COMPLETED")
        assert 1 <= len(entry["description"]) <= 50


def filled(tenant: Tenant, name: str) -> str:
    """An account, now with money in its wallet."""
    expect(tenant.http.post(f"/accounts/{name}/wallet_topup", json={"topupAmount": 1}), 200)
    return name


def test_entries_are_in_the_order_in_which_the_wallet_moved(tenant: Tenant) -> None:
    """Both doors at once: what a payment found in the wallet is what the entry before its own left there."""
    walk = Walk(tenant, "both at once")

    def move(place: int) -> None:
        if place % 2:
            expect(tenant.http.post(f"/accounts/{walk.name}/wallet_topup", json={"topupAmount": place}), 200)
        else:
            sent = document("payments", {"amount": f"-{place}.5"}, account=("accounts", walk.number))
            make(tenant, "payments", sent)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(move, range(40)))
    paid = get(tenant, "payments", params={"filter[account.id]": walk.number, "page[size]": 100})["data"]
    found = {row["id"]: Decimal(row["attributes"]["balance-before-payment"]) for row in paid}
    listed = list(entries(tenant, walk.name, 7))
    left = {entry["entityId"]: entry["closingBalance"] + entry["amount"] for entry in listed if "entityId" in entry}
    assert len(listed) == 40
    assert left == found
    assert len(left) == 20
    assert listed[0]["closingBalance"] == sum(range(1, 40, 2)) - sum(range(0, 40, 2)) - Decimal("0.5") * 20


def test_a_page_stays_what_it_is_while_money_moves(tenant: Tenant, api: WalletApi) -> None:
    name = account(tenant)
    for amount in range(1, 6):
        api.top_up_wallet_for_account(name, top_up(amount))
    first = api.wallet_entries_for_account(name, page_size=2)
    for other in (account(tenant), filled(tenant, account(tenant))):
        follow = partial(api.wallet_entries_for_account, other, next_token=first.next_token)
        refused(follow, 400, "nextToken: is not a bookmark of this list")
    api.top_up_wallet_for_account(name, top_up(100))
    rest = api.wallet_entries_for_account(name, next_token=first.next_token)
    shown = [(entry.amount, entry.closing_balance) for entry in first.data + rest.data]
    assert shown == [(5, 15), (4, 10), (3, 6), (2, 3)]
    last = api.wallet_entries_for_account(name, next_token=rest.next_token)
    assert [(entry.amount, entry.closing_balance) for entry in last.data] == [(1, 1)]
    assert last.next_token is None
