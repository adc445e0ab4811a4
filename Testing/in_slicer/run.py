"""Run the modules' tests in a real Slicer: ``python Testing/in_slicer/run.py /path/to/Slicer``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("ChiSepPreprocess", "ChiSepReconstruct", "ChiSeparation")
_LIMIT_S = 1800


def slicer_executable(given: str | None) -> Path:
    """Find Slicer: as given, else as ``SLICER_EXECUTABLE`` says.

    Raises
    ------
    SystemExit
        If none is named, or there is no such file.
    """
    named = given or os.environ.get("SLICER_EXECUTABLE")
    if not named:
        raise SystemExit("No Slicer is named: give the path of its executable, or set SLICER_EXECUTABLE.")
    if not Path(named).is_file():
        raise SystemExit(f"{named} is no file; give the path of Slicer's executable, such as Slicer-5.12.3/Slicer.")
    return Path(named).absolute()


def command(slicer: Path, module_folders: Sequence[Path]) -> list[str]:
    """Give the command that runs all tests in Slicer, in its testing mode, which keeps off the user's settings."""
    return [
        str(slicer), "--testing", "--no-splash",
        "--additional-module-paths", *map(str, module_folders),
        "--python-script", str(REPOSITORY / "Testing" / "in_slicer" / "run_all.py"),
    ]  # fmt: skip


def run(slicer: Path, module_folders: Sequence[Path]) -> list[str]:
    """Run all tests in Slicer and give one line for each problem."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "result.json")
        environment = os.environ | {"CHISEP_TEST_RESULT": str(file), "PYTHONUTF8": "1"}
        try:
            code = subprocess.run(
                command(slicer, module_folders), env=environment, timeout=_LIMIT_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return [f"Slicer did not end within {_LIMIT_S // 60} minutes"]
        if not file.is_file():
            return [f"Slicer ended (exit code {code}) before all tests had run; its output above says why"]
        result = json.loads(file.read_text(encoding="utf-8"))
        problems = list(result["problems"]) if result["tests"] else ["no test was found"]
    return problems or ([f"Slicer ended with exit code {code}"] if code else [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, run the tests, say what is wrong; 0 if nothing is."""
    parser = argparse.ArgumentParser(description="Run the modules' tests in a real Slicer (5.10 or later).")
    parser.add_argument("slicer", nargs="?", help="Slicer's executable; by default what SLICER_EXECUTABLE names")
    parser.add_argument("--modules", type=Path, help="folder of the installed modules; by default the source is used")
    given = parser.parse_args(arguments)
    folders = [given.modules.absolute()] if given.modules else [REPOSITORY / name for name in MODULES]
    problems = run(slicer_executable(given.slicer), folders)
    for line in problems or ["all tests passed"]:
        sys.stdout.write(f"{line}\n")
    return min(len(problems), 1)


if __name__ == "__main__":
    sys.exit(main())
