"""File storage in the Togai dialect: files are fetched by signed links, which need no token."""

from datetime import timedelta
from typing import Annotated
from urllib.parse import quote, urlencode

from msgspec import Meta
from starlette.responses import RedirectResponse, Response

from bursar.accounts import files
from bursar.http.door import Answer, Call, Query
from bursar.http.togai.door import door

TAG = "File Storage"

_AT_ONCE = timedelta(minutes=1)
_LATER = timedelta(hours=1)


class FileDownloadUrlResponse(Answer, kw_only=True):
    """Where a file can be fetched."""

    download_url: str


class DownloadQuery(Query, kw_only=True):
    """How long the link shall work."""

    expiry: Annotated[int, Meta(ge=1, le=int(files.LONGEST_LINK.total_seconds()))] | None = None
    """Seconds."""


@door.operation("GET", "/files/{file_id}", id="getFile", tag=TAG, summary="Get a file", status=302)
async def get_file(call: Call) -> Response:
    """Lead to a file."""
    return RedirectResponse(await _url(call, _AT_ONCE), 302)


@door.operation(
    "GET",
    "/files/{file_id}/download_url",
    id="getDownloadUrl",
    tag=TAG,
    summary="Get a download URL for a file",
    query=DownloadQuery,
    answer=FileDownloadUrlResponse,
)
async def get_download_url(call: Call, query: DownloadQuery) -> FileDownloadUrlResponse:
    """Name the place where a file can be fetched for a while."""
    life = _LATER if query.expiry is None else timedelta(seconds=query.expiry)
    return FileDownloadUrlResponse(download_url=await _url(call, life))


async def _url(call: Call, life: timedelta) -> str:
    made = await files.link(call.db, call.caller, call.path["file_id"], life)
    base = call.request.url
    query = urlencode({"expires": made.expires, "signature": made.signature})
    return f"{base.scheme}://{base.netloc}/bursar/v1/files/{quote(made.file)}?{query}"
