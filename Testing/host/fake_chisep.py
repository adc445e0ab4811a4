"""A child that behaves like ``chisep … --progress-json``, well or badly: ``python fake_chisep.py MODE ARGUMENTS…``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def say(event: str, **content: Any) -> None:
    """Print one event."""
    sys.stdout.write(json.dumps({"event": event, **content}) + "\n")
    sys.stdout.flush()


def output_of(arguments: Sequence[str]) -> Path:
    """Find the folder after ``-o``."""
    return Path(arguments[list(arguments).index("-o") + 1])


def write_two_folders(output: Path) -> list[str]:
    """Write tiny maps as a run does: one folder of maps, one for the method."""
    import numpy as np

    from ChiSepPreprocessLib.artifacts import Grid, Map, ScanParameters
    from ChiSepPreprocessLib.files import write_map

    grid = Grid((3, 4, 5), np.diag([1.0, 1.0, 2.0, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005, 0.01), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
    made = {"r2star": "maps", "chi_para": "closed-form"}
    for name, folder in made.items():
        write_map(Map(name=name, data=np.full(grid.shape, 0.25, np.float32), grid=grid), scan, output / folder)
    return list(made)


def succeed(arguments: Sequence[str]) -> None:
    """Work as it should, with a warning."""
    say("progress", step="unwrap", fraction=0.25, detail="echo 1 of 2")
    say("warning", message="the phase unit was read from the range")
    names = write_two_folders(output_of(arguments))
    say("progress", step="separate", fraction=1.0)
    say("result", output=str(output_of(arguments)), maps=names)


def tell_time(arguments: Sequence[str]) -> None:
    """Succeed with networks, whose time is told first."""
    say("progress", step="networks", fraction=0.1, detail="CPU, 8 threads, about 40 s")
    succeed(arguments)


def garbage(arguments: Sequence[str]) -> None:
    """Succeed among output that is not ours."""
    sys.stdout.buffer.write(b'\xff\xfe\x00 not text\n[1, 2]\n42\nnull\n{"event": "nonsense"}\n{"event": [1]}\n')
    sys.stdout.buffer.write(b'{"event": "progress"}\n{"event": "progress", "step": "s", "fraction": "x"}\n{"event":\n')
    sys.stdout.buffer.write(b"x" * 300_000 + b"\n")
    sys.stdout.buffer.flush()
    succeed(arguments)


def noisy(arguments: Sequence[str]) -> None:
    """Succeed after writing far more to stderr than a pipe holds."""
    for number in range(40_000):
        sys.stderr.write(f"log line {number} of a talkative library\n")
    succeed(arguments)


def bad_input(arguments: Sequence[str]) -> int:
    """Refuse the input."""
    sys.stderr.write("chisep: echo times: got nothing\n")
    say("error", message="echo times: got nothing; expected seconds.", exit_code=2)
    return 2


def crash(arguments: Sequence[str]) -> None:
    """End without a word on stdout."""
    sys.stderr.write("Traceback: deep inside\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def silent(arguments: Sequence[str]) -> None:
    """End well but without a result."""


def hang(arguments: Sequence[str]) -> None:
    """Never end, with a grandchild, both deaf to polite requests."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    grandchild = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert grandchild.stdout is not None
    grandchild.stdout.readline()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("progress", step="hang", fraction=0.5, detail=str(grandchild.pid))
    time.sleep(60)


def leave_grandchild(arguments: Sequence[str]) -> None:
    """Succeed, but leave a grandchild that keeps stdout open."""
    succeed(arguments)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(5)"])


def echo(arguments: Sequence[str]) -> None:
    """Report what was received instead of maps."""
    say("warning", message=json.dumps({"arguments": list(arguments), "environment": dict(os.environ)}))
    succeed(arguments)


MODES = {
    one.__name__: one
    for one in (succeed, tell_time, garbage, noisy, bad_input, crash, silent, hang, leave_grandchild, echo)
}

if __name__ == "__main__":
    sys.exit(MODES[sys.argv[1]](sys.argv[2:]))
