"""The log: lines of JSON, and nobody waits for whoever reads them."""

import json
import os
import subprocess
import sys
import time

LINES = 30_000
SCRIPT = f"""
import time, structlog
from bursar.runtime import logs
logs.configure()
log = structlog.get_logger()
began = time.monotonic()
for number in range({LINES}):
    log.info("line", number=number, filling="x" * 200)
print(time.monotonic() - began, flush=True)
time.sleep(60)
"""


def test_a_reader_that_hangs_holds_nobody_up_and_hears_what_it_missed() -> None:
    reading, writing = os.pipe()
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=writing, text=True) as process:
        os.close(writing)
        try:
            assert process.stdout is not None
            assert float(process.stdout.readline()) < 30  # it would wait for ever: a pipe holds 64 KiB
            dropped, numbers = 0, list[int]()
            deadline = time.monotonic() + 55
            with os.fdopen(reading) as lines:
                while len(numbers) + dropped < LINES and time.monotonic() < deadline:
                    entry = json.loads(lines.readline())
                    if entry["event"] == "log_lines_dropped":
                        dropped += entry["count"]
                    else:
                        numbers.append(entry["number"])
            assert dropped > 0
            assert len(numbers) + dropped == LINES
            assert numbers == sorted(set(numbers))
        finally:
            process.kill()
