"""The tours of the README, run line by line as they stand."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.postgres import open_folder
from tests.runtime.program import program

README = Path(__file__).parents[2] / "README.md"


def section(title: str) -> str:
    """The indented lines under a heading."""
    _, _, rest = README.read_text().partition(f"\n## {title}\n")
    body, _, _ = rest.partition("\n## ")
    lines = [line for line in body.splitlines() if line.startswith("    ") or not line.strip()]
    return textwrap.dedent("\n".join(lines))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_tours_say_what_happens() -> None:
    with open_folder() as folder, program(folder) as running:
        usage = folder / "usage.csv"
        usage.write_text("TIMESTAMP,Tokens\n2024-06-05T00:00:00Z,10\n2024-06-05T00:00:01Z,20\n2024-06-05,many\n")
        script = "\n".join(
            [
                "set -e; cd " + str(folder),
                f'bursar() {{ "{sys.executable}" -m bursar.runtime.cli "$@" --data-dir "{folder}"; }}',
                section("Five minutes with curl").replace("http://127.0.0.1:8400", running.url),
                "export TOKEN",
                section("As a carrier").replace("$HOST", running.url),
                section("History from a file"),
                f"'{sys.executable}' - <<'EOF'",
                "import os",
                "TOKEN = os.environ['TOKEN']",
                section("With togai-client").replace("http://127.0.0.1:8400", running.url),
                "EOF",
                section("Trust it"),
                "bursar verify",
            ]
        )
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=240, check=False, env={**os.environ}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout
        assert '"message"' not in said, said
        assert re.search(r'"total(Amount)?":"?15(\.00)?"?[,}]', said), said
        assert "e-1" in said
        assert "all invariants hold" in said
        assert '"name":"ACME"' in said
        assert "ACME" in said.splitlines()
        assert "erased customer acme" in said
        assert said.splitlines()[-1].startswith("verify: all invariants hold")
        assert "many" in (folder / "usage.csv.rejects.csv").read_text()
