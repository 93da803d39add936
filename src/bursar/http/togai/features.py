"""Features in the Togai dialect."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from bursar.catalog import features
from bursar.catalog.features import Association, Feature
from bursar.db.database import Connection
from bursar.http.door import Answer, Body, Call
from bursar.http.togai.door import PageQuery, PaginationOptions, door, open_token, seal_token

TAG = "Feature"

FeatureName = Annotated[str, Meta(min_length=1, max_length=255)]
BillableName = Annotated[str, Meta(max_length=255)]


class EventSchemasForFeature(Body, kw_only=True):
    """An event schema whose events draw units, and the attribute that says how many."""

    schema_name: Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[\sa-zA-Z0-9_-]*$")]
    attribute_name: Annotated[str, Meta(min_length=1, max_length=50)]


Associations = Annotated[list[EventSchemasForFeature], Meta(max_length=50)]


class CreateFeatureRequest(Body, kw_only=True):
    """A feature to make."""

    name: FeatureName
    schema_associations: Associations
    billable_name: BillableName | None = None


class UpdateFeatureRequest(Body, kw_only=True):
    """What to change of a feature; the list replaces the whole list."""

    name: FeatureName | None = None
    billable_name: BillableName | None = None
    schema_associations: Associations | None = None


class FeatureShape(Answer, kw_only=True):
    """A feature."""

    id: str
    name: str
    display_name: str
    schema_associations: list[EventSchemasForFeature]
    created_at: datetime
    updated_at: datetime
    billable_name: str | None = None


class FeatureListResponse(Answer, kw_only=True):
    """A feature in a list."""

    id: str
    name: str
    display_name: str
    schema_count: int
    created_at: datetime
    updated_at: datetime
    billable_name: str | None = None


class FeaturePaginatedListData(Answer, kw_only=True):
    """A page of features."""

    data: list[FeatureListResponse]
    next_token: str | None
    context: PaginationOptions


class FeatureListQuery(PageQuery, kw_only=True):
    """How to cut the list."""


@door.operation(
    "POST", "/features", id="createFeature", tag=TAG, summary="Create a feature", scope="write",
    body=CreateFeatureRequest, answer=FeatureShape,
)  # fmt: skip
async def create_feature(call: Call, body: CreateFeatureRequest) -> FeatureShape:
    """Make a feature, with the event schemas whose events draw its units."""
    associations = _associations_of(body.schema_associations)
    async with call.db.transaction(call.caller.workspace) as connection:
        made = await features.create_feature(connection, call.caller, body.name, body.billable_name, associations)
        return await _shape(connection, made)


@door.operation(
    "GET", "/features", id="getFeatures", tag=TAG, summary="List features",
    query=FeatureListQuery, answer=FeaturePaginatedListData,
)  # fmt: skip
async def get_features(call: Call, query: FeatureListQuery) -> FeaturePaginatedListData:
    """List features."""
    query, after, size = open_token(query)
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await features.list_features(connection, call.caller.workspace, after, size)
    return FeaturePaginatedListData(
        data=[_listed(feature, count) for feature, count in page.items],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="ASC"),
    )


@door.operation(
    "GET", "/features/{feature_id}", id="getFeature", tag=TAG, summary="Get a feature", answer=FeatureShape
)  # fmt: skip
async def get_feature(call: Call) -> FeatureShape:
    """Read a feature."""
    async with call.db.transaction(call.caller.workspace) as connection:
        found = await features.get_feature(connection, call.caller.workspace, call.path["feature_id"])
        return await _shape(connection, found)


@door.operation(
    "PATCH", "/features/{feature_id}", id="updateFeature", tag=TAG, summary="Update a feature", scope="write",
    body=UpdateFeatureRequest, answer=FeatureShape,
)  # fmt: skip
async def update_feature(call: Call, body: UpdateFeatureRequest) -> FeatureShape:
    """Change a feature's names and event schemas."""
    wanted = body.schema_associations
    async with call.db.transaction(call.caller.workspace) as connection:
        changed = await features.update_feature(
            connection,
            call.caller,
            call.path["feature_id"],
            name=body.name,
            billable_name=body.billable_name,
            associations=None if wanted is None else _associations_of(wanted),
        )
        return await _shape(connection, changed)


def _associations_of(shapes: list[EventSchemasForFeature]) -> list[Association]:
    return [Association(shape.schema_name, shape.attribute_name) for shape in shapes]


async def _shape(connection: Connection, feature: Feature) -> FeatureShape:
    return FeatureShape(
        id=feature.id,
        name=feature.name,
        display_name=feature.display_name,
        schema_associations=[
            EventSchemasForFeature(schema_name=association.schema_name, attribute_name=association.attribute)
            for association in await features.associations_of(connection, feature)
        ],
        created_at=feature.created_at,
        updated_at=feature.updated_at,
        billable_name=feature.billable_name,
    )


def _listed(feature: Feature, schemas: int) -> FeatureListResponse:
    return FeatureListResponse(
        id=feature.id,
        name=feature.name,
        display_name=feature.display_name,
        schema_count=schemas,
        created_at=feature.created_at,
        updated_at=feature.updated_at,
        billable_name=feature.billable_name,
    )
