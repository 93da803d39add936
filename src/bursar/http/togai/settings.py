"""Settings in the Togai dialect."""

from typing import Annotated, Literal

from msgspec import Meta

from bursar.accounts import settings
from bursar.accounts.model import Setting
from bursar.accounts.settings import EntitySetting, SettingChange
from bursar.http.door import Answer, Body, Call
from bursar.http.togai.door import MixedPageQuery, PaginationOptions, door, open_token, seal_token
from bursar.http.togai.shapes import SettingDataType, SettingId, SettingNamespace, SettingValue, Text

TAG = "Settings"

EntityType = Literal["ORGANIZATION", "CUSTOMER", "ACCOUNT"]


class SettingRequest(Body, kw_only=True):
    """A setting to make. ORGANIZATION is the workspace; its `entityId` is the workspace's name."""

    id: SettingId
    value: SettingValue
    entity_type: EntityType
    entity_id: Annotated[str, Meta(min_length=1, max_length=100)]
    namespace: SettingNamespace
    name: Text
    data_type: SettingDataType


class UpdateSettingRequest(Body, kw_only=True):
    """What to change of a setting."""

    name: Text | None = None
    value: SettingValue | None = None
    data_type: SettingDataType | None = None


class EntitySettingShape(Answer, kw_only=True):
    """A setting and whose it is."""

    id: str
    value: str
    entity_type: str
    entity_id: str
    namespace: str
    name: str
    data_type: str


class SettingPaginatedResponse(Answer, kw_only=True):
    """A page of settings."""

    data: list[EntitySettingShape]
    next_token: str | None
    context: PaginationOptions


class SettingsQuery(MixedPageQuery, kw_only=True, rename=None):
    """Which settings to list."""

    entity_type: EntityType | None = None
    entity_id: Annotated[str, Meta(max_length=100)] | None = None
    setting_id: Annotated[str, Meta(max_length=100)] | None = None
    namespace: Annotated[str, Meta(max_length=50)] | None = None


@door.operation(
    "POST",
    "/settings",
    id="insertSetting",
    tag=TAG,
    summary="Create a setting",
    status=201,
    scope="write",
    body=SettingRequest,
    answer=EntitySettingShape,
)
async def insert_setting(call: Call, body: SettingRequest) -> EntitySettingShape:
    """Make a setting."""
    new = Setting(body.id, body.value, body.namespace, body.name, body.data_type)
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await settings.create_setting(connection, call.caller, body.entity_type, body.entity_id, new))


@door.operation(
    "GET",
    "/settings",
    id="listSetting",
    tag=TAG,
    summary="List settings",
    query=SettingsQuery,
    answer=SettingPaginatedResponse,
)
async def list_setting(call: Call, query: SettingsQuery) -> SettingPaginatedResponse:
    """List settings."""
    query, after, size = open_token(query)
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await settings.list_settings(
            connection,
            call.caller.workspace,
            entity_type=query.entity_type,
            entity_id=query.entity_id,
            setting_id=query.setting_id,
            namespace=query.namespace,
            after=after,
            limit=size,
        )
    return SettingPaginatedResponse(
        data=[_shape(found) for found in page.items],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="ASC"),
    )


@door.operation(
    "GET",
    "/settings/{setting_id_str}",
    id="getSetting",
    tag=TAG,
    summary="Get a setting",
    answer=EntitySettingShape,
)
async def get_setting(call: Call) -> EntitySettingShape:
    """Read a setting."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await settings.get_setting(connection, call.caller.workspace, call.path["setting_id_str"]))


@door.operation(
    "PATCH",
    "/settings/{setting_id_str}",
    id="updateSetting",
    tag=TAG,
    summary="Update a setting",
    status=201,
    scope="write",
    body=UpdateSettingRequest,
    answer=EntitySettingShape,
)
async def update_setting(call: Call, body: UpdateSettingRequest) -> EntitySettingShape:
    """Change a setting."""
    change = SettingChange(body.name, body.value, body.data_type)
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await settings.update_setting(connection, call.caller, call.path["setting_id_str"], change))


def _shape(found: EntitySetting) -> EntitySettingShape:
    setting = found.setting
    return EntitySettingShape(
        id=setting.id,
        value=setting.value,
        entity_type=found.entity_type,
        entity_id=found.entity_id,
        namespace=setting.namespace,
        name=setting.name,
        data_type=setting.data_type,
    )
