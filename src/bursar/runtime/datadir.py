"""The data directory: where it lies, who may use it, who is using it now."""

import fcntl
import hashlib
import os
import pwd
import stat
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from bursar.core.errors import BursarError

_SOCKET_PATH_LIMIT = 107
_SOCKET_NAME = "/.s.PGSQL.5432"


class DataDirRefused(BursarError):
    """The data directory cannot be used."""


class DataDirBusy(BursarError):
    """Another Bursar is running on this data directory."""


def default_data_dir() -> Path:
    """`/var/lib/bursar` for root, else `$XDG_DATA_HOME/bursar`."""
    if os.geteuid() == 0:
        return Path("/var/lib/bursar")
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "bursar"


def database_account() -> pwd.struct_passwd | None:
    """The account that PostgreSQL runs as where we are root, which it refuses to be; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise DataDirRefused("PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody' to run it as")


class DataDir:
    """A data directory and what lies in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.account = database_account()
        self._lock: int | None = None

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own directory."""
        return self.path / "postgresql"

    @property
    def heads(self) -> Path:
        """Where the ends of the audit chains are written down, beside the database that holds them."""
        return self.path / "audit-heads.json"

    @property
    def socket_dir(self) -> Path:
        """Where PostgreSQL's socket lies: in the data directory, or in a private place where that path is too long."""
        inside = self.path / "run"
        if len(os.fsencode(inside)) + len(_SOCKET_NAME) <= _SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"bursar-{os.geteuid()}-{digest}"

    def prepare(self) -> None:
        """Make the directory. Raises `DataDirRefused` where PostgreSQL's account could not enter it."""
        try:
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise DataDirRefused(f"the data directory {self.path} cannot be made: {error.strerror}") from None
        if self.account is not None:
            entered = subprocess.run(
                ["/bin/sh", "-c", 'cd "$0"', str(self.path)],
                user=self.account.pw_uid,
                group=self.account.pw_gid,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                check=False,
            )
            if entered.returncode:
                raise DataDirRefused(
                    f"the account '{self.account.pw_name}', which PostgreSQL runs as, cannot enter {self.path}; "
                    "choose another --data-dir"
                )
        elif not os.access(self.path, os.W_OK | os.X_OK):
            raise DataDirRefused(f"the data directory {self.path} is not yours to write")
        self._own(self.socket_dir)

    def _own(self, path: Path) -> None:
        """Make a private directory of PostgreSQL's account. Refuses one that somebody else put there."""
        path.mkdir(mode=0o700, exist_ok=True)
        owner = self.account.pw_uid if self.account else os.geteuid()
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()):
            raise DataDirRefused(f"{path} belongs to somebody else")
        path.chmod(0o700)
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def acquire(self) -> bool:
        """Become the one process that runs PostgreSQL here; False where another is. Released when the process ends."""
        handle = os.open(self.path / "bursar.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        self._lock = handle
        return True

    def release(self) -> None:
        """Let another process run PostgreSQL here."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def holder(self) -> str:
        """The pid of the process that runs PostgreSQL here, as it wrote it."""
        try:
            return (self.path / "bursar.lock").read_text().strip() or "unknown"
        except OSError:
            return "unknown"

    def busy(self) -> DataDirBusy:
        """The error that says who is running here."""
        return DataDirBusy(f"another Bursar (process {self.holder()}) is running on the data directory {self.path}")

    def dsn(self) -> str:
        """How to reach the PostgreSQL of this directory."""
        return f"postgresql://bursar@/bursar?host={quote(str(self.socket_dir))}"
