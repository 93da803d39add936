"""Where the links to files lead."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

from msgspec import Meta
from starlette.responses import Response

from bursar.accounts.files import Link, follow
from bursar.http.door import Call, Query
from bursar.http.native.door import door


class LinkQuery(Query, kw_only=True):
    """What makes a link sound."""

    expires: Annotated[int, Meta(ge=0, le=253_402_300_800)] = 0
    signature: Annotated[str, Meta(max_length=64)] = ""


@door.operation(
    "GET",
    "/bursar/v1/files/{file_id}",
    id="downloadFile",
    tag="Files",
    summary="Fetch a file by a signed link, without a token",
    scope=None,
    query=LinkQuery,
)
async def download_file(call: Call, query: LinkQuery) -> Response:
    """Hand out a file."""
    link = Link(call.path["file_id"], query.expires, query.signature)
    found = await follow(call.db, link, datetime.now(UTC))
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(found.name)}",
        "cache-control": "private, no-store",
    }
    return Response(found.content, media_type=found.media_type, headers=headers)
