"""Requests to the carrier's door, as short as a test wants them."""

from typing import Any

import httpx

from tests.conftest import Tenant

ADMIN = "/api/rest/admin"
JSON_API = "application/vnd.api+json"
HEADERS = {"content-type": JSON_API, "accept": JSON_API}


def send(tenant: Tenant, method: str, path: str, document: Any = None, **options: Any) -> httpx.Response:
    """The answer of the admin door."""
    headers = HEADERS | options.pop("headers", {})
    return tenant.http.request(method, f"{ADMIN}/{path}", json=document, headers=headers, **options)


def get(tenant: Tenant, path: str, **parameters: Any) -> Any:
    """The document at a path; parameters such as `filter[name]` by their own names."""
    answer = send(tenant, "GET", path, params=parameters.get("params"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def document(kind: str, attributes: dict[str, Any], key: Any = None, **links: tuple[str, Any] | None) -> dict[str, Any]:
    """A document about one object; `links` are to-one relationships as type and id."""
    data: dict[str, Any] = {"type": kind, "attributes": attributes}
    if key is not None:
        data["id"] = key
    if links:
        data["relationships"] = {
            name.replace("_", "-"): {"data": None if link is None else {"type": link[0], "id": link[1]}}
            for name, link in links.items()
        }
    return {"data": data}


def make(tenant: Tenant, path: str, sent: dict[str, Any]) -> Any:
    """What was made of a document: its `data`."""
    answer = send(tenant, "POST", path, sent)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


def contractor(tenant: Tenant, name: str, **attributes: Any) -> str:
    """The id of a new contractor."""
    given = {"name": name, "enabled": True, "vendor": True, "customer": True, **attributes}
    return str(make(tenant, "contractors", document("contractors", given))["id"])
