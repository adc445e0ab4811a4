"""Whether child processes have ended."""

from __future__ import annotations

import time
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until_ended(pid: int, limit_s: float = 5.0) -> None:
    """Wait for a process that was sent its end; the kernel carries it out in its own time."""
    stop_at_s = time.monotonic() + limit_s
    while is_running(pid):
        assert time.monotonic() < stop_at_s, f"process {pid} still runs"
        time.sleep(0.01)
