"""Run the modules' tests; Slicer itself runs this file, started by ``run.py``."""

from __future__ import annotations

import json
import os
import sys
import unittest
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("ChiSepPreprocess", "ChiSepReconstruct", "ChiSeparation")


def run(modules: Sequence[str]) -> dict[str, Any]:
    """Run the tests of some modules.

    Returns
    -------
    dict of str to Any
        ``tests``: how many ran; ``problems``: one line for each that failed, or could not run.
    """
    sys.path.extend(str(REPOSITORY / module / "Testing" / "Python") for module in modules)
    suite = unittest.defaultTestLoader.loadTestsFromNames([f"{module}Test" for module in modules])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = [f"{test.id()} failed" for test, _ in (*result.failures, *result.errors)]
    return {"tests": result.testsRun, "problems": [*failed, *(f"{test.id()}: {why}" for test, why in result.skipped)]}


def main() -> None:
    """Run everything, write the result where ``run.py`` looks for it, and leave Slicer."""
    import slicer.util

    code = 1
    try:
        result = run(MODULES)
        Path(os.environ["CHISEP_TEST_RESULT"]).write_text(json.dumps(result), encoding="utf-8")
        code = min(len(result["problems"]), 1)
    finally:  # or a broken test file would leave Slicer open for ever
        slicer.util.exit(code)


if __name__ == "__main__":
    main()
