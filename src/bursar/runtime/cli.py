"""The command `bursar`: every one has an example in its help and `--json`; bad arguments are one line and exit 2."""

import importlib
import os
import sys

import typer

from bursar import __version__
from bursar.core import crash
from bursar.core.errors import BursarError
from bursar.runtime.output import JsonOption, show

_UsageError = typer.BadParameter.__bases__[0]
"""Everything that is wrong with how a command was called; typer exports only this one kind of it."""

MODULES = {
    "cli_admins": ("admin",),
    "cli_audit": ("audit",),
    "cli_billing": ("bill", "demo", "verify", "worker"),
    "cli_clock": ("clock",),
    "cli_dead_letters": ("events",),
    "cli_events": ("import",),
    "cli_people": ("erase",),
    "cli_recovery": ("backup", "restore"),
    "cli_serve": ("serve",),
    "cli_tenants": ("token", "workspace"),
}
"""Which module adds which commands. One that is not asked for is not imported: that takes longer than most commands."""


def program(word: str | None = None) -> typer.Typer:
    """The command line; of a known command `word` it has no more than the module that adds it."""
    app = typer.Typer(
        name="bursar",
        help="A self-hosted billing server: usage in, exact and explained invoices out.",
        no_args_is_help=False,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    chosen = [name for name, words in MODULES.items() if word in words] or MODULES
    for name in chosen:
        importlib.import_module(f"bursar.runtime.{name}").add_to(app)
    app.command(epilog="Example: bursar version --json")(version)
    return app


def version(as_json: JsonOption = False) -> None:
    """Show the version."""
    show({"version": __version__}, f"bursar {__version__}", as_json=as_json)


def main() -> None:
    """Run the command line. 0: done; 1: it did not succeed, or something does not hold; 2: it was not asked rightly."""
    crash.arm(os.environ.get("BURSAR_CRASH_DIR"))
    try:
        code = program(sys.argv[1] if len(sys.argv) > 1 else None)(standalone_mode=False)
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
