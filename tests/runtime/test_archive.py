"""The file of a backup: whole it is read, with one byte of it otherwise it is not."""

import io
import json
import random
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import zstandard

from bursar.runtime.archive import BackupRefused, Manifest, check, decompress, writing

MANIFEST = Manifest(
    format=1, release="1.2.3", migration="0001_foundation", postgres=18,
    made_at=datetime(2024, 5, 1, 12, tzinfo=UTC), tables={"account": 3, "posting": 4_000},
)  # fmt: skip
DUMP = random.Random(3).randbytes(1_500) + b"\0" * 5_000


def made(folder: Path, manifest: Manifest = MANIFEST, dump: bytes = DUMP) -> Path:
    path = folder / "backup"
    with writing(path, manifest) as stream:
        stream.write(dump)
    return path


def refused(content: bytes) -> bool:
    try:
        check(io.BytesIO(content))
    except BackupRefused:
        return True
    return False


def test_a_whole_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert path.stat().st_mode & 0o077 == 0, "nobody else may read it"
    told: list[int] = []
    with path.open("rb") as file:
        backup = check(file, told.append)
        assert backup.manifest == MANIFEST
        assert MANIFEST.rows == 4_003
        target = io.BytesIO()
        decompress(file, backup, target, told.append)
        assert target.getvalue() == DUMP
    assert sum(told) == path.stat().st_size - 2_048 + backup.size
    assert [entry.name for entry in tmp_path.iterdir()] == ["backup"]


def test_other_programs_open_it(tmp_path: Path) -> None:
    """Independent readers: tar, zstd's library, sha256."""
    path = made(tmp_path)
    with tarfile.open(path) as archive:
        names = archive.getnames()
        manifest, dump, seal = (archive.extractfile(name) for name in names)
        assert manifest is not None
        assert dump is not None
        assert seal is not None
        assert json.loads(manifest.read())["tables"] == MANIFEST.tables
        assert zstandard.ZstdDecompressor().decompressobj().decompress(dump.read()) == DUMP
        digest = seal.read().decode().strip()
    size = path.stat().st_size - 2_048
    summed = subprocess.run(["sha256sum"], input=path.read_bytes()[:size], capture_output=True, check=True)
    assert summed.stdout.split()[0].decode() == digest


def test_every_byte_counts(tmp_path: Path) -> None:
    chance = random.Random(5)
    content = made(tmp_path).read_bytes()
    assert not refused(content)
    passed = []
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << chance.randrange(8)
        if not refused(bytes(flipped)):
            passed.append(place)
    assert passed == []


def test_every_length_counts(tmp_path: Path) -> None:
    content = made(tmp_path).read_bytes()
    passed = [size for size in range(len(content)) if not refused(content[:size])]
    passed += [size for size in (1, 511, 512, 10_240) if not refused(content + bytes(size))]
    assert passed == []


@pytest.mark.parametrize("content", [b"", b"\0" * 20_000, b"PGDMP" + b"x" * 20_000, random.Random(1).randbytes(9_000)])
def test_what_is_no_backup_is_refused(content: bytes) -> None:
    assert refused(content)


def test_a_newer_format_and_strange_tables_are_refused(tmp_path: Path) -> None:
    newer = made(tmp_path, msgspec.structs.replace(MANIFEST, format=2)).read_bytes()
    assert refused(newer)
    strange = made(tmp_path, msgspec.structs.replace(MANIFEST, tables={"a'); drop table b; --": 1})).read_bytes()
    assert refused(strange)


def test_a_file_that_changes_after_it_was_checked_is_noticed(tmp_path: Path) -> None:
    path = made(tmp_path)
    with path.open("r+b") as file:
        backup = check(file)
        file.seek(600)  # in the manifest's padding, where nothing else would notice
        file.write(b"x")
        file.flush()
        with pytest.raises(BackupRefused, match="changed"):
            decompress(file, backup, io.BytesIO(), lambda _done: None)


def test_what_fails_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "backup", MANIFEST) as stream:
            stream.write(DUMP)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
