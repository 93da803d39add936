"""Features with the official client, and what it is told when it errs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from togai_client.api.event_schemas_api import EventSchemasApi
from togai_client.api.feature_api import FeatureApi
from togai_client.exceptions import (
    BadRequestException,
    ForbiddenException,
    NotFoundException,
    UnauthorizedException,
)
from togai_client.models.create_feature_request import CreateFeatureRequest
from togai_client.models.update_feature_request import UpdateFeatureRequest

from bursar.accounts.tokens import create_token
from bursar.db.database import Database
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import expect, schema

Links = Sequence[tuple[str, str]]


def links(pairs: Links) -> list[dict[str, str]]:
    return [{"schemaName": name, "attributeName": attribute} for name, attribute in pairs]


def create(api: FeatureApi, name: str = "Messages", pairs: Links = (), **more: Any) -> Any:
    body = {"name": name, "schemaAssociations": links(pairs), **more}
    return api.create_feature(CreateFeatureRequest.from_dict(body))


def update(api: FeatureApi, identifier: str, pairs: Links | None = None, **change: Any) -> Any:
    if pairs is not None:
        change["schemaAssociations"] = links(pairs)
    return api.update_feature(identifier, UpdateFeatureRequest.from_dict(change))


def pairs_of(feature: Any) -> list[tuple[str, str]]:
    return [(entry.schema_name, entry.attribute_name) for entry in feature.schema_associations]


def refused(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def test_a_feature_is_made_alone_and_read(tenant: Tenant) -> None:
    api = FeatureApi(tenant.togai)
    made = create(api)
    assert made.id.startswith("feature.")
    assert (made.name, made.billable_name, made.display_name, pairs_of(made)) == ("Messages", None, "Messages", [])
    assert made.created_at == made.updated_at
    assert api.get_feature(made.id).to_dict() == made.to_dict()
    named = create(api, "m2", billableName="SMS")
    assert (named.billable_name, named.display_name) == ("SMS", "SMS")


def test_event_schemas_are_associated_in_their_order_and_say_so(tenant: Tenant) -> None:
    api, schemas = FeatureApi(tenant.togai), EventSchemasApi(tenant.togai)
    schema(tenant.http, "zeta", attributes=[{"name": "a"}, {"name": "b"}])
    schema(tenant.http, "alpha", active=False)
    made = create(api, pairs=[("zeta", "b"), ("alpha", "tokens")])
    assert pairs_of(made) == [("zeta", "b"), ("alpha", "tokens")]
    for read in (
        schemas.get_event_schema("zeta"),
        schemas.list_event_schema_versions("zeta").data[0],
        next(entry for entry in schemas.list_event_schemas().data if entry.name == "zeta"),
    ):
        assert (read.feature_details.feature_id, read.feature_details.attribute_name) == (made.id, "b")

    changed = update(api, made.id, [("alpha", "tokens")])
    assert pairs_of(changed) == pairs_of(api.get_feature(made.id)) == [("alpha", "tokens")]
    assert (changed.name, changed.created_at) == (made.name, made.created_at)
    assert changed.updated_at > made.updated_at
    assert schemas.get_event_schema("zeta").feature_details is None
    other = create(api, "Other", [("zeta", "a")])
    assert schemas.get_event_schema("zeta").feature_details.feature_id == other.id
    assert pairs_of(update(api, made.id, [])) == []


def test_names_change_and_the_rest_stays(tenant: Tenant) -> None:
    api = FeatureApi(tenant.togai)
    schema(tenant.http)
    made = create(api, pairs=[("llm", "tokens")], billableName="SMS")
    renamed = update(api, made.id, name="Texts")
    assert (renamed.name, renamed.billable_name, pairs_of(renamed)) == ("Texts", "SMS", [("llm", "tokens")])
    bare = update(api, made.id, billableName="")
    assert (bare.billable_name, bare.display_name) == (None, "Texts")
    assert update(api, made.id).to_dict() == bare.to_dict(), "nothing asked, nothing changed"
    assert update(api, made.id, [("llm", "tokens")], name="Texts").to_dict() == bare.to_dict()
    assert create(api, "Messages").id != made.id, "the name it had is free"


def test_lists_in_pages_with_the_number_of_schemas(tenant: Tenant) -> None:
    api = FeatureApi(tenant.togai)
    for name in ("s1", "s2"):
        schema(tenant.http, name)
    made = [create(api, f"f{n}", [("s1", "tokens"), ("s2", "tokens")] if n == 3 else ()).id for n in range(5)]
    seen, token = [], None
    while True:
        page = api.get_features(page_size=2, next_token=token)
        seen += [(entry.id, entry.schema_count) for entry in page.data]
        token = page.next_token
        if token is None:
            break
    assert seen == [(identifier, 2 if n == 3 else 0) for n, identifier in enumerate(made)]
    assert page.context.page_size == 2
    refused(lambda: api.get_features(page_size=101), "pageSize")


def test_a_name_is_taken_once(tenant: Tenant) -> None:
    api = FeatureApi(tenant.togai)
    create(api, "one")
    two = create(api, "two")
    refused(lambda: create(api, "one"), "already")
    refused(lambda: update(api, two.id, name="one"), "already")
    assert update(api, two.id, name="two").name == "two", "its own name is not in its way"


def test_associations_that_cannot_be_are_refused_by_field_and_change_nothing(tenant: Tenant) -> None:
    api = FeatureApi(tenant.togai)
    for name in ("llm", "free", "gone", "theirs"):
        schema(tenant.http, name, active=False)
    expect(tenant.http.delete("/event_schema/gone"), 200)
    other = create(api, "other", [("theirs", "tokens")])
    made = create(api, "mine", [("llm", "tokens")])
    cases: list[tuple[Links, tuple[str, ...]]] = [
        ([("nothing", "tokens")], ("schemaAssociations[0].schemaName", "nothing")),
        ([("llm", "tokens"), ("gone", "tokens")], ("schemaAssociations[1].schemaName", "gone")),
        ([("llm", "Tokens")], ("schemaAssociations[0].attributeName", "Tokens")),
        ([("llm", "model")], ("schemaAssociations[0].attributeName", "model")),
        ([("llm", "tokens"), ("llm", "tokens")], ("schemaAssociations[1].schemaName", "twice")),
        ([("theirs", "tokens")], ("schemaAssociations[0].schemaName", other.id)),
    ]
    for pairs, words in cases:
        refused(partial(update, api, made.id, pairs), *words)
        free = [("free" if name == "llm" else name, attribute) for name, attribute in pairs]
        refused(partial(create, api, "new", free), *words)
    assert api.get_feature(made.id).to_dict() == made.to_dict()
    assert [entry.name for entry in api.get_features().data] == ["other", "mine"]


def test_a_schema_keeps_what_its_feature_draws_by(tenant: Tenant) -> None:
    api, http = FeatureApi(tenant.togai), tenant.http
    schema(http, "llm", active=False, attributes=[{"name": "tokens"}, {"name": "spare"}], filterFields=[])
    made = create(api, pairs=[("llm", "tokens")])
    without = {"attributes": [{"name": "spare"}]}
    for answer in (http.patch("/event_schema/llm", json=without), http.delete("/event_schema/llm")):
        assert made.id in expect(answer, 400)["message"]
    expect(http.patch("/event_schema/llm", json={"attributes": [{"name": "tokens"}]}), 200)
    update(api, made.id, [])
    expect(http.patch("/event_schema/llm", json=without), 200)
    expect(http.delete("/event_schema/llm"), 200)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "name"),
        ({"name": "a"}, "schemaAssociations"),
        ({"name": "", "schemaAssociations": []}, "name"),
        ({"name": "  ", "schemaAssociations": []}, "name"),
        ({"name": "x" * 256, "schemaAssociations": []}, "name"),
        ({"name": "a", "schemaAssociations": [], "billableName": "x" * 256}, "billableName"),
        ({"name": "a", "schemaAssociations": ["llm"]}, "schemaAssociations"),
        ({"name": "a", "schemaAssociations": [{"schemaName": "llm"}]}, "attributeName"),
        ({"name": "a", "schemaAssociations": links([("é", "a")])}, "schemaName"),
        ({"name": "a", "schemaAssociations": links([(f"s{n}", "a") for n in range(51)])}, "schemaAssociations"),
        ({"name": "a", "schemaAssociations": [], "status": "ACTIVE"}, "status"),
    ],
)
def test_bad_features_are_refused_by_field(tenant: Tenant, body: dict[str, Any], word: str) -> None:
    answer = tenant.http.post("/features", json=body)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]
    assert tenant.http.get("/features").json()["data"] == []


def test_what_does_not_exist_and_who_may_not(server: Server, tenant: Tenant) -> None:
    api = FeatureApi(tenant.togai)
    made = create(api)
    missing: list[Callable[[], object]] = [
        lambda: api.get_feature("feature.none"),
        lambda: update(api, "feature.none", name="x"),
        lambda: update(api, "feature.none", []),
    ]
    for call in missing:
        with pytest.raises(NotFoundException, match="was not found"):
            call()

    async def narrow(db: Database) -> str:
        async with db.transaction(tenant.caller.workspace) as connection:
            text, _ = await create_token(connection, tenant.caller, "reader", scopes=frozenset({"read"}))
        return text

    tenant.togai.configuration.access_token = server.run(narrow)
    assert [entry.id for entry in api.get_features().data] == [made.id]
    writes: list[Callable[[], object]] = [lambda: create(api), lambda: update(api, made.id)]
    for write in writes:
        with pytest.raises(ForbiddenException, match="write"):
            write()
    tenant.togai.configuration.access_token = "nobody"
    unnamed: list[Callable[[], object]] = [api.get_features, lambda: create(api), lambda: update(api, made.id)]
    for call in unnamed:
        with pytest.raises(UnauthorizedException):
            call()
