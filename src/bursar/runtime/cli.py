"""The command `bursar`: every one has an example in its help and `--json`; bad arguments are one line and exit 2."""

import os
import sys
from typing import Annotated

import typer

from bursar import __version__
from bursar.core import crash
from bursar.core.errors import BursarError
from bursar.http.limits import PER_MINUTE
from bursar.runtime import cli_audit, cli_billing, cli_events, cli_people, cli_recovery, cli_tenants
from bursar.runtime.output import DataDirOption, JsonOption, UrlOption, note, show
from bursar.runtime.serve import Parent

_UsageError = typer.BadParameter.__bases__[0]
"""Everything that is wrong with how a command was called; typer exports only this one kind of it."""

app = typer.Typer(
    name="bursar",
    help="A self-hosted billing server: usage in, exact and explained invoices out.",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_tenants.tokens, name="token")
app.add_typer(cli_tenants.workspaces, name="workspace")
app.add_typer(cli_tenants.clock, name="clock")
app.add_typer(cli_events.imports, name="import")
app.add_typer(cli_audit.trail, name="audit")
app.add_typer(cli_people.erase, name="erase")
cli_billing.add_to(app)
cli_recovery.add_to(app)


@app.command(epilog="Example: bursar serve --port 8400 --data-dir ./data")
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
    worker: Annotated[bool, typer.Option(help="Run what time brings (billing and the like) too.")] = True,
    allow_private_callbacks: Annotated[
        bool,
        typer.Option(
            "--allow-private-callbacks",
            help="Let requests to subscribers go to private and local addresses too.",
            envvar="BURSAR_ALLOW_PRIVATE_CALLBACKS",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start the server: it migrates by itself and prints one line when it is ready."""
    say = (lambda text: show({"message": text}, text, as_json=True)) if as_json else note
    processes = workers or min(2, os.cpu_count() or 1)
    Parent(host, port, data_dir, database_url, processes, rate_limit, worker, allow_private_callbacks, say).run()


@app.command(epilog="Example: bursar version --json")
def version(as_json: JsonOption = False) -> None:
    """Show the version."""
    show({"version": __version__}, f"bursar {__version__}", as_json=as_json)


def main() -> None:
    """Run the command line. 0: done; 1: it did not succeed, or something does not hold; 2: it was not asked rightly."""
    crash.arm(os.environ.get("BURSAR_CRASH_DIR"))
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:  # type: ignore[misc]  # a class, found at run time
        path = error.ctx.command_path if error.ctx else "bursar"
        code = _fail(f"{error.format_message().splitlines()[0]} (see {path} --help)")
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except BursarError as error:
        code = _fail(error.message)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    print(f"bursar: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
