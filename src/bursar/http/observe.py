"""What an operator looks at: liveness, readiness, version, metrics, and the documentation of the doors."""

import os
from collections.abc import Sequence

import asyncpg
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bursar import __version__
from bursar.core.errors import Unavailable
from bursar.db.database import Database
from bursar.http.docs import page
from bursar.http.door import Door
from bursar.http.encode import answer
from bursar.http.openapi import document

REQUESTS = Counter("bursar_http_requests_total", "Requests answered", ["method", "status"])
SECONDS = Histogram(
    "bursar_http_request_seconds",
    "Time from a request's first byte to its answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


_counters: dict[tuple[str, int], Counter] = {}


def observe(method: str, status: int, seconds: float) -> None:
    """Count a request that was answered, and how long it took."""
    counter = _counters.get((method, status))
    if counter is None:
        counter = _counters[method, status] = REQUESTS.labels(method, str(status))
    counter.inc()
    SECONDS.observe(seconds)


def operator_routes(db: Database, doors: Sequence[Door]) -> list[Route]:
    """Routes that need no token. `/metrics` is Prometheus' by GET; its POST belongs to a dialect."""

    async def livez(_: Request) -> Response:
        return answer({"status": "alive"})

    async def readyz(_: Request) -> Response:
        try:
            await db.lookup("select 1")
        except (Unavailable, asyncpg.PostgresError):
            return answer({"status": "unavailable", "database": "cannot be reached"}, 503)
        return answer({"status": "ready"})

    async def version(_: Request) -> Response:
        return answer({"version": __version__})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(_registry()), headers={"content-type": CONTENT_TYPE_LATEST})

    async def docs(_: Request) -> Response:
        return HTMLResponse(page(doors))

    return [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/version", version),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/docs", docs),
        *(Route(f"/openapi/{door.name}.json", _openapi(door)) for door in doors),
    ]


def _registry() -> CollectorRegistry:
    """The metrics of this process, or of all that share the port where there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # not annotated there
    return registry


def _openapi(door: Door):  # type: ignore[no-untyped-def]  # Starlette's endpoint type is not exported
    async def endpoint(_: Request) -> Response:
        return answer(document(door))

    return endpoint
