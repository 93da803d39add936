"""Commands on recovery: a backup, and what becomes of one."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from bursar.db.database import Database
from bursar.runtime.archive import Manifest, opened
from bursar.runtime.backup import back_up
from bursar.runtime.connect import bring_up_to_date, empty, standing
from bursar.runtime.output import DataDirOption, JsonOption, UrlOption, progress, remark, show
from bursar.runtime.proof import prove
from bursar.runtime.restore import checked
from bursar.runtime.restore import restore as load
from bursar.runtime.wall import wall

_MIB = 1 << 20


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the program."""
    app.command("backup", epilog="Example: bursar backup monday.bursar --data-dir ./data")(backup)
    app.command("restore", epilog="Example: bursar restore monday.bursar --verify --data-dir ./restored")(restore)


def backup(
    file: Annotated[Path, typer.Argument(help="File to make; it must not exist yet.", dir_okay=False)],
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything that is committed now to one file, while the server runs. Keep it safe: it holds all secrets."""
    with standing(data_dir, database_url, remark) as dsn, progress("backup, MiB", None, quiet=as_json) as advance:
        manifest = back_up(dsn, file, wall(), _Mebibytes(advance))
    size = file.stat().st_size
    text = f"backed up {manifest.rows} rows of {len(manifest.tables)} tables to {file} ({size / _MIB:.1f} MiB)"
    show({**_facts(file, manifest), "bytes": size}, text, as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="File that `bursar backup` made.", exists=True, dir_okay=False)],
    verify: Annotated[bool, typer.Option("--verify", help="Check every invariant afterwards.")] = False,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a backup into an empty data directory or database: all of it, or nothing."""
    problems: dict[str, list[str]] | None = None
    with opened(file) as content:
        with progress("check, MiB", file.stat().st_size // _MIB, quiet=as_json) as advance:
            found = checked(content, _Mebibytes(advance))
        with empty(data_dir, database_url, remark) as dsn:
            with progress("restore, MiB", found.size // _MIB, quiet=as_json) as advance:
                load(dsn, content, found, _Mebibytes(advance))
            bring_up_to_date(dsn)
            if verify:
                problems = asyncio.run(_prove(dsn, quiet=as_json))
    broken = [f"{name}: {problem}" for name, some in (problems or {}).items() for problem in some]
    manifest = found.manifest
    text = (
        f"restored {manifest.rows} rows of {len(manifest.tables)} tables, as of {manifest.made_at:%Y-%m-%d %H:%M:%SZ}"
    )
    if problems is not None:
        text += "\n" + ("\n".join(broken) or f"verify: all invariants hold ({len(problems)} checks)")
    result = {**_facts(file, manifest), "holds": None if problems is None else not broken, "checks": problems}
    show(result, text, as_json=as_json)
    if broken:
        raise typer.Exit(1)


async def _prove(dsn: str, *, quiet: bool) -> dict[str, list[str]]:
    db = await Database.open(dsn, size=2, timeout=3600)
    try:
        return await prove(db, quiet=quiet)
    finally:
        await db.close()


def _facts(file: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "file": str(file),
        "made_at": manifest.made_at,
        "release": manifest.release,
        "migration": manifest.migration,
        "postgres": manifest.postgres,
        "rows": manifest.rows,
        "tables": manifest.tables,
    }


class _Mebibytes:
    """Turns bytes that are done into whole mebibytes of a progress display."""

    def __init__(self, advance: Any) -> None:
        self._advance = advance
        self._rest = 0

    def __call__(self, done: int) -> None:
        whole, self._rest = divmod(self._rest + done, _MIB)
        if whole:
            self._advance(whole)
