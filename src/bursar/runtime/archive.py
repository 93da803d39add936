"""The file of a backup: a tar archive of a manifest and PostgreSQL's dump, sealed with the SHA-256 of all before it.

Standard programs open it: `tar xf FILE`, then `zstd -d` and `pg_restore` read the dump. Every byte is covered: those
before the seal by its digest, the seal and the end of the archive because they follow from the digest.
"""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec
import zstandard

from bursar.core import crash
from bursar.core.errors import BursarError

FORMAT = 1
BLOCK = 1 << 20
"""Bytes moved at a time: what a backup or a restore holds in memory does not depend on the size of the data."""
_MANIFEST, _DUMP, _SEAL = "bursar-backup.json", "database.dump.zst", "SHA256"
_RECORD = tarfile.BLOCKSIZE
_TAIL = 4 * _RECORD
"""The seal's header and content, and the two empty records that end a tar archive."""
_MANIFEST_LIMIT = 16 << 20
_TABLE = re.compile(r"[a-z][a-z0-9_]*")

Progress = Callable[[int], None]
"""Told how many bytes more are done."""


class BackupRefused(BursarError):
    """The file is not a whole backup that this release can restore."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    format: int
    release: str
    """Of Bursar, that made it."""
    migration: str
    """That the database stood at."""
    postgres: int
    """Major version of the PostgreSQL that it was taken from."""
    made_at: datetime
    tables: dict[str, int]
    """How many rows each table has in it."""

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(self.tables.values())


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup file that was found whole."""

    manifest: Manifest
    digest: str
    start: int
    """Where the dump begins."""
    size: int
    """Bytes of the dump as compressed."""


@contextmanager
def writing(path: Path, manifest: Manifest) -> Iterator[IO[bytes]]:
    """A new backup file; what is written to the stream becomes the dump in it.

    The name appears when all of it is on the disk; where the block raises, nothing stays.
    """
    part = path.with_name(path.name + ".part")
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w+b") as file:
            file.write(_member(_MANIFEST, msgspec.json.encode(manifest), manifest.made_at))
            place = file.tell()
            file.write(bytes(_RECORD))
            with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as stream:
                yield stream
            size = file.tell() - place - _RECORD
            file.write(bytes(-size % _RECORD))
            file.seek(place)
            file.write(_header(_DUMP, size, manifest.made_at))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.write(_tail(digest))
            file.flush()
            os.fsync(file.fileno())
        crash.point("backup written")
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def check(file: IO[bytes], progress: Progress = lambda _done: None) -> Backup:
    """Read a whole file. Raises `BackupRefused` where any byte of it is missing, added or changed."""
    whole = file.seek(0, os.SEEK_END)
    file.seek(0)
    manifest_size = _size_of(file.read(_RECORD), _MANIFEST)
    if manifest_size is None:
        raise BackupRefused("this is not a backup that Bursar made")
    file.seek(0)
    sealed = whole - _TAIL
    hasher = hashlib.sha256()
    for block in blocks(file, sealed):
        hasher.update(block)
        progress(len(block))
    if sealed < 0 or file.read(_TAIL + 1) != _tail(hasher.hexdigest()):
        raise BackupRefused("the backup is damaged or cut short; nothing was written")
    manifest_end = _RECORD + _padded(manifest_size)
    file.seek(_RECORD)
    manifest = _read_manifest(file.read(manifest_size))
    file.seek(manifest_end)
    size = _size_of(file.read(_RECORD), _DUMP)
    start = manifest_end + _RECORD
    if size is None or start + _padded(size) != sealed:
        raise BackupRefused("this is not a backup that Bursar made")
    return Backup(manifest, hasher.hexdigest(), start, size)


def decompress(file: IO[bytes], backup: Backup, target: IO[bytes], progress: Progress) -> None:
    """Write the dump in a file to `target`. Raises `BackupRefused` where the file is not what was checked."""
    hasher = hashlib.sha256()
    file.seek(0)
    for block in blocks(file, backup.start):
        hasher.update(block)
    with zstandard.ZstdDecompressor().stream_writer(target, closefd=False) as stream:
        for block in blocks(file, backup.size):
            hasher.update(block)
            stream.write(block)
            progress(len(block))
    hasher.update(file.read(-backup.size % _RECORD))
    if hasher.hexdigest() != backup.digest:
        raise BackupRefused("the backup changed while it was read; nothing was written")


def blocks(file: IO[bytes], count: int) -> Iterator[bytes]:
    """The next `count` bytes, as far as there are any, in blocks."""
    while count > 0 and (block := file.read(min(BLOCK, count))):
        count -= len(block)
        yield block


def _read_manifest(text: bytes) -> Manifest:
    try:
        form: Any = msgspec.json.decode(text)
        if form["format"] > FORMAT:
            raise BackupRefused("the backup was made by a newer release of Bursar: restore it with that one")
        manifest = msgspec.convert(form, Manifest)
    except (msgspec.MsgspecError, KeyError, TypeError):
        raise BackupRefused("this is not a backup that Bursar made") from None
    if not all(_TABLE.fullmatch(name) for name in manifest.tables):
        raise BackupRefused("this is not a backup that Bursar made")
    return manifest


def _header(name: str, size: int, moment: datetime | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(moment.timestamp()) if moment else 0
    return info.tobuf(tarfile.GNU_FORMAT)


def _member(name: str, content: bytes, moment: datetime | None = None) -> bytes:
    return _header(name, len(content), moment) + content.ljust(_padded(len(content)), b"\0")


def _tail(digest: str) -> bytes:
    return _member(_SEAL, f"{digest}\n".encode()) + bytes(2 * _RECORD)


def _padded(size: int) -> int:
    return size + -size % _RECORD


def _size_of(record: bytes, name: str) -> int | None:
    """The size of a member by its header, where that is the one of `name`."""
    try:
        info = tarfile.TarInfo.frombuf(record, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError, ValueError):
        return None
    limit = _MANIFEST_LIMIT if name == _MANIFEST else 1 << 62
    return info.size if info.name == name and info.isreg() and 0 <= info.size <= limit else None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def opened(path: Path) -> io.BufferedReader:
    """A file to read. Raises `BackupRefused` where it cannot be."""
    try:
        return path.open("rb")
    except OSError as error:
        raise BackupRefused(f"{path} cannot be read: {error.strerror}") from None
