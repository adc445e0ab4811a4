"""Accuracy of the whole chain on simulated patients that travel as DICOM, by the commands that users run.

    .venv/bin/python Testing/benchmarks/accuracy.py [--seeds 0 1] [--voxel-size-mm 1] [--json FILE]

For each patient: ``chisep phantom --dicom`` (at half the voxel size or finer), ``chisep run``, and
``chisep evaluate`` of the run against the truth. The numbers are for simulated data.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CHISEP = Path(sys.executable).parent / "chisep"

CASES = {
    "axial": ("--tilt-deg", "0,0,0"),
    "oblique": ("--tilt-deg", "20,-8,5"),
}


def chisep(*arguments: object) -> str:
    """Run one command and return what it printed."""
    command = [str(CHISEP), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def one_case(folder: Path, seed: int, voxel_size_mm: float, tilt: tuple[str, ...]) -> dict[str, Any]:
    """Simulate, run, evaluate one patient."""
    patient, results = folder / "patient", folder / "results"
    size = ",".join([str(voxel_size_mm)] * 3)
    chisep("phantom", "-o", patient, "--dicom", "--seed", seed, "--voxel-size-mm", size,
           "--fine-mm", voxel_size_mm / 2, *tilt)  # fmt: skip
    chisep("run", "--gre", patient / "dicom", "-o", results, "--maps-only")
    return dict(json.loads(chisep("evaluate", "--estimate", results, "--truth", patient / "truth", "--json")))


def main() -> None:
    """Print NRMSE of every map for every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--voxel-size-mm", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    for seed in chosen.seeds:
        for name, tilt in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                found[f"seed {seed}, {name}"] = one_case(Path(folder), seed, chosen.voxel_size_mm, tilt)
    sys.stdout.write(table(found) + "\n")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2))


def table(found: dict[str, Any]) -> str:
    """NRMSE in per cent as a Markdown table, a row for each case."""
    names = list(dict.fromkeys(name for case in found.values() for name in case["maps"]))
    lines = ["| NRMSE, % | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for label, case in found.items():
        values = [f"{case['maps'][name]['nrmse_percent']:.1f}" if name in case["maps"] else "" for name in names]
        lines.append(f"| {label} | " + " | ".join(values) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
