"""What may stand in the repository at all."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_lock_files_carry_hashes_and_no_addresses() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text, f"{path.name}: run `make lock`; it writes no addresses"
        pinned = re.findall(r"^[a-z0-9].*==", text, re.M | re.I)
        assert len(pinned) > 20
        for block in re.split(r"\n(?=[a-z0-9])", text, flags=re.I):
            assert "==" not in block.split("\n")[0] or "--hash=sha256:" in block, (
                f"{path.name}: {block[:60]} has no hash"
            )


def test_every_direct_dependency_has_a_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    block = project.split("dependencies = [", 1)[1].split("]\n", 1)[0]
    names = [re.match(r'\s*"([a-z0-9-]+)', line) for line in block.splitlines()]
    reasons = "\n".join(path.read_text() for path in (ROOT / "docs" / "adr").glob("*.md"))
    missing = [match[1] for match in names if match and f"`{match[1]}`" not in reasons]
    assert not missing, "say in an ADR what these dependencies save: " + ", ".join(missing)


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in _tracked():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)\)", path.read_text()):
            if "://" not in target and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)} -> {target}")
    assert not broken, "mend these links: " + ", ".join(broken)


def test_architecture_stays_readable() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 200
