"""Processes that must not outlive the one that started them, and are told by their input what is for nobody else."""

import ctypes
import os
import signal
import sys

PRIVATE_CALLBACKS = "--allow-private-callbacks"
"""Argument of a worker that may send requests to private addresses."""
_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """Have the kernel send this process `number` when its parent ends. Linux only; elsewhere nothing happens.

    Call it in the child, after its last change of user, which would take the setting away. `parent` is the pid of the
    starting process: where it has ended already, the signal is sent now.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def told() -> str:
    """The line that the parent writes to the input; ends this process where the parent ends before it does."""
    line = sys.stdin.readline().rstrip("\n")
    if not line:
        raise SystemExit(0)
    return line
