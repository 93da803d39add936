"""Jobs in the Togai dialect."""

from datetime import datetime

from bursar.http.door import Answer, Call
from bursar.http.togai.door import PageQuery, PaginationOptions, door, open_token, seal_token
from bursar.jobs import service
from bursar.jobs.model import Job

TAG = "Jobs"
ENTRIES = 100
"""Entries of a page where none is asked for: the client cannot ask for the next."""


class GetJobResponse(Answer, kw_only=True):
    """A job and how far it got."""

    id: str
    type: str
    status: str
    updated_at: datetime
    total_job_entries: int
    pending_job_entries: int
    failed_job_entries: int
    completed_job_entries: int
    settled_at: datetime | None = None
    metadata: dict[str, str]


class JobsWithoutStatusInfoResponse(Answer, kw_only=True):
    """A job in a list."""

    id: str
    type: str
    status: str
    updated_at: datetime


class JobsPaginatedResponse(Answer, kw_only=True):
    """A page of jobs."""

    data: list[JobsWithoutStatusInfoResponse]
    next_token: str | None
    context: PaginationOptions


class JobEntriesResponse(Answer, kw_only=True):
    """One object that a job is about."""

    entity_id: str
    job_id: str
    status: str
    created_at: datetime
    metadata: dict[str, str]


class JobEntriesPaginatedResponse(Answer, kw_only=True):
    """A page of the entries of a job."""

    data: list[JobEntriesResponse]
    next_token: str | None
    context: PaginationOptions


@door.operation(
    "GET", "/jobs", id="getJobs", tag=TAG, summary="List jobs", query=PageQuery, answer=JobsPaginatedResponse
)
async def get_jobs(call: Call, query: PageQuery) -> JobsPaginatedResponse:
    """List jobs, newest first."""
    query, after, size = open_token(query)
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await service.list_jobs(connection, call.caller.workspace, after, size)
    return JobsPaginatedResponse(
        data=[
            JobsWithoutStatusInfoResponse(id=job.id, type=job.kind, status=job.status, updated_at=job.updated_at)
            for job in page.items
        ],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="DESC"),
    )


@door.operation(
    "GET", "/jobs/{job_id}", id="getJobStatus", tag=TAG, summary="Get the status of a job", answer=GetJobResponse
)
async def get_job_status(call: Call) -> GetJobResponse:
    """Read a job."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await service.find(connection, call.caller.workspace, call.path["job_id"]))


@door.operation(
    "GET",
    "/jobs/{job_id}/entries",
    id="getJobEntries",
    tag=TAG,
    summary="List the entries of a job",
    query=PageQuery,
    answer=JobEntriesPaginatedResponse,
)
async def get_job_entries(call: Call, query: PageQuery) -> JobEntriesPaginatedResponse:
    """List what a job is about, and what became of it."""
    query, after, size = open_token(query, default=ENTRIES)
    job_id = call.path["job_id"]
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await service.list_entries(connection, call.caller.workspace, job_id, after, size)
    return JobEntriesPaginatedResponse(
        data=[
            JobEntriesResponse(
                entity_id=entry.entity,
                job_id=job_id,
                status=entry.status,
                created_at=entry.created_at,
                metadata={} if entry.reason is None else {"reason": entry.reason},
            )
            for entry in page.items
        ],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="ASC"),
    )


@door.operation(
    "POST",
    "/jobs/{job_id}/confirm",
    id="confirmJob",
    tag=TAG,
    summary="Confirm a job",
    scope="write",
    answer=GetJobResponse,
)
async def confirm_job(call: Call) -> GetJobResponse:
    """Let a job go ahead."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await service.confirm(connection, call.caller, call.path["job_id"]))


@door.operation(
    "POST",
    "/jobs/{job_id}/reject",
    id="rejectJob",
    tag=TAG,
    summary="Reject a job",
    scope="write",
    answer=GetJobResponse,
)
async def reject_job(call: Call) -> GetJobResponse:
    """Call a job off."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await service.reject(connection, call.caller, call.path["job_id"]))


def _shape(job: Job) -> GetJobResponse:
    counts = job.counts
    return GetJobResponse(
        id=job.id,
        type=job.kind,
        status=job.status,
        updated_at=job.updated_at,
        settled_at=job.settled_at,
        total_job_entries=counts.total,
        pending_job_entries=counts.pending,
        failed_job_entries=counts.failed,
        completed_job_entries=counts.completed,
        metadata=dict(job.parameters),
    )
