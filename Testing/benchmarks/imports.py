"""Seconds to import each Lib and the command line, in fresh processes, less an empty Python.

.venv/bin/python Testing/benchmarks/imports.py
"""

from __future__ import annotations

import subprocess
import sys
import time

MODULES = (
    "ChiSepPreprocessLib.pipeline",
    "ChiSepReconstructLib.pipeline",
    "ChiSeparationLib.workflow",
    "ChiSeparationLib.presentation",
    "ChiSeparationLib.cli",
)


def seconds(statement: str, repeats: int = 7) -> float:
    """Shortest of several runs of a statement in a fresh process."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Print a table."""
    empty = seconds("pass")
    sys.stdout.write("| import | seconds |\n|---|---|\n")
    for module in MODULES:
        sys.stdout.write(f"| `{module}` | {seconds(f'import {module}') - empty:.2f} |\n")
    sys.stdout.write(f"| `numpy` alone | {seconds('import numpy') - empty:.2f} |\n")


if __name__ == "__main__":
    main()
