"""Files by the official client and by plain requests: who may fetch what, and for how long."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlparse

import httpx
import pytest
from togai_client.api.file_storage_api import FileStorageApi
from togai_client.exceptions import NotFoundException, UnauthorizedException

from bursar.accounts import files
from bursar.accounts.files import Link, follow, keep, link
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, TooLarge
from bursar.db.database import Database
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import expect

CONTENT = bytes(range(256)) * 40
NAME = "Bericht März.csv"


@pytest.fixture(scope="module")
def ready(server: Server) -> tuple[Tenant, str]:
    tenant = server.workspace()

    async def work(db: Database) -> str:
        async with db.transaction(tenant.caller.workspace) as connection:
            return (await keep(connection, tenant.caller, NAME, "text/csv", CONTENT)).id

    identifier: str = server.run(work)
    return tenant, identifier


def test_a_file_is_fetched_by_its_url_without_a_token(ready: tuple[Tenant, str]) -> None:
    tenant, identifier = ready
    api = FileStorageApi(tenant.togai)
    url = api.get_download_url(identifier).download_url
    assert url.startswith(tenant.url)
    got = httpx.get(url)
    assert (got.status_code, got.content) == (200, CONTENT)
    assert got.headers["content-type"].startswith("text/csv")
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''Bericht%20M%C3%A4rz.csv"
    assert got.headers["cache-control"] == "private, no-store"
    assert got.headers["x-content-type-options"] == "nosniff"


def test_getting_a_file_leads_to_it(ready: tuple[Tenant, str]) -> None:
    tenant, identifier = ready
    answer = tenant.http.get(f"/files/{identifier}")
    assert answer.status_code == 302
    assert httpx.get(answer.headers["location"]).content == CONTENT
    assert FileStorageApi(tenant.togai).get_file(identifier) is None, "the client follows, and makes nothing of it"


def test_a_url_ends(ready: tuple[Tenant, str]) -> None:
    tenant, identifier = ready
    before = datetime.now(UTC)
    for expiry, seconds in ((None, 3600), (1, 1), (604_800, 604_800)):
        url = FileStorageApi(tenant.togai).get_download_url(identifier, expiry=expiry).download_url
        ends = int(parse_qs(urlparse(url).query)["expires"][0])
        assert 0 <= ends - before.timestamp() - seconds + 1 <= 31
    for text in ("0", "604801", "soon"):
        answer = tenant.http.get(f"/files/{identifier}/download_url?expiry={text}")
        assert answer.status_code == 400, answer.text
        assert "expiry" in answer.json()["message"]


def test_nothing_but_the_url_itself_opens_a_file(ready: tuple[Tenant, str]) -> None:
    tenant, identifier = ready
    url = expect(tenant.http.get(f"/files/{identifier}/download_url"), 200)["downloadUrl"]
    sound = {name: values[0] for name, values in parse_qs(urlparse(url).query).items()}
    place = f"{tenant.url}/bursar/v1/files/{identifier}"
    forged: list[dict[str, Any]] = [
        {},
        {"signature": sound["signature"]},
        {"expires": sound["expires"]},
        {**sound, "expires": int(sound["expires"]) + 1},
        {**sound, "signature": sound["signature"][:-1] + ("0" if sound["signature"][-1] != "0" else "1")},
        {**sound, "signature": ""},
        {**sound, "signature": "é"},
    ]
    unknown = httpx.get(f"{tenant.url}/bursar/v1/files/file.none")
    assert unknown.status_code == 404
    for query in forged:
        answer = httpx.get(place, params=query, headers={"authorization": f"Bearer {tenant.token}"})
        assert answer.status_code == 404, query
        assert answer.text.replace(identifier, "file.none") == unknown.text
    assert httpx.get(place, params={**sound, "more": "1"}).status_code == 400
    assert httpx.get(place.replace("file.", "file.x"), params=sound).status_code == 404


def test_files_of_others_and_of_nobody(ready: tuple[Tenant, str], server: Server) -> None:
    tenant, identifier = ready
    stranger = server.workspace()
    for api, wanted in ((FileStorageApi(tenant.togai), "file.none"), (FileStorageApi(stranger.togai), identifier)):
        for call in (api.get_file, api.get_download_url):
            with pytest.raises(NotFoundException):
                call(wanted)
    stranger.togai.configuration.access_token = "wrong"
    for call in (FileStorageApi(stranger.togai).get_file, FileStorageApi(stranger.togai).get_download_url):
        with pytest.raises(UnauthorizedException):
            call(identifier)


async def test_a_link_opens_until_its_end(database: Database, caller: Caller) -> None:
    async with database.transaction(caller.workspace) as connection:
        made = await keep(connection, caller, "a.txt", "text/plain", b"")
    assert (made.name, made.media_type, made.size, made.created_at) == ("a.txt", "text/plain", 0, caller.wall)
    given = await link(database, caller, made.id, timedelta(seconds=10))
    assert (await follow(database, given, caller.wall + timedelta(seconds=9))).content == b""
    with pytest.raises(NotFound):
        await follow(database, given, caller.wall + timedelta(seconds=10))
    with pytest.raises(NotFound):
        await follow(database, Link(given.file, given.expires + 1, given.signature), caller.wall)


@pytest.mark.parametrize(
    ("name", "media_type", "field"),
    [
        ("", "text/plain", "name"),
        ("x" * 256, "text/plain", "name"),
        ("../x", "text/plain", "name"),
        ("a\\b", "text/plain", "name"),
        ('a"b', "text/plain", "name"),
        ("a\nb", "text/plain", "name"),
        ("a", "text", "mediaType"),
        ("a", "text/html\r\nx: y", "mediaType"),
    ],
)
async def test_what_no_file_is_called(
    database: Database, caller: Caller, name: str, media_type: str, field: str
) -> None:
    async with database.transaction(caller.workspace) as connection:
        with pytest.raises(Invalid, match=field):
            await keep(connection, caller, name, media_type, b"")


async def test_limits(database: Database, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_LIMIT", 10)
    monkeypatch.setattr(files, "WORKSPACE_LIMIT", 25)
    async with database.transaction(caller.workspace) as connection:
        with pytest.raises(TooLarge, match="10"):
            await keep(connection, caller, "a", "text/plain", b"x" * 11)
        for _ in range(2):
            await keep(connection, caller, "a", "text/plain", b"x" * 10)
        with pytest.raises(TooLarge, match="25"):
            await keep(connection, caller, "a", "text/plain", b"x" * 6)
        await keep(connection, caller, "a", "text/plain", b"x" * 5)
