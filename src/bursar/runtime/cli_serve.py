"""The command that starts the server."""

import os
from typing import Annotated

import typer

from bursar.http.limits import PER_MINUTE
from bursar.http.yeti import lifetimes
from bursar.http.yeti.lifetimes import Lifetimes
from bursar.runtime.output import DataDirOption, JsonOption, PrivateCallbacksOption, UrlOption, note, show
from bursar.runtime.serve import Parent

IngestLimitOption = Annotated[
    int,
    typer.Option(
        help="Events per second that are let in, by all server processes together, so that senders do not keep the "
        "machine from everybody else; 0: as many as can be stored.",
        min=0,
        max=2_000_000_000,
        envvar="BURSAR_INGEST_LIMIT",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add `serve`."""
    app.command(epilog="Example: bursar serve --port 8400 --data-dir ./data")(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8400,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Server processes that share the port; one per core, at most 2, where not given.", min=1, max=64
        ),
    ] = None,
    rate_limit: Annotated[
        int,
        typer.Option(
            help="Requests per minute that a token without a limit of its own may send; 0: no limit.",
            min=0,
            max=2_000_000_000,
            envvar="BURSAR_RATE_LIMIT",
        ),
    ] = PER_MINUTE,
    ingest_limit: IngestLimitOption = 0,
    admin_token_lifetime: Annotated[
        int,
        typer.Option(
            help="Seconds for which the token of a user who logged in works; 0: for ever.",
            min=0,
            max=lifetimes.LONGEST,
            envvar="BURSAR_ADMIN_TOKEN_LIFETIME",
        ),
    ] = lifetimes.SECONDS,
    customer_token_lifetime: Annotated[
        int,
        typer.Option(
            help="The same for tokens of a carrier's customers.",
            min=0,
            max=lifetimes.LONGEST,
            envvar="BURSAR_CUSTOMER_TOKEN_LIFETIME",
        ),
    ] = lifetimes.SECONDS,
    worker: Annotated[bool, typer.Option(help="Run what time brings (billing and the like) too.")] = True,
    allow_private_callbacks: PrivateCallbacksOption = False,
    as_json: JsonOption = False,
) -> None:
    """Start the server: it migrates by itself and prints one line when it is ready."""
    say = (lambda text: show({"message": text}, text, as_json=True)) if as_json else note
    processes = workers or min(2, os.cpu_count() or 1)
    lives = Lifetimes(admin_token_lifetime, customer_token_lifetime)
    Parent(
        host=host,
        port=port,
        data_dir=data_dir,
        url=database_url,
        workers=processes,
        rate_limit=rate_limit,
        ingest_limit=ingest_limit,
        lifetimes=lives,
        worker=worker,
        private_callbacks=allow_private_callbacks,
        say=say,
    ).run()
