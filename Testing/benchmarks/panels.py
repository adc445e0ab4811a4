"""Time until a module's panel is first painted, and the longest block of the window during a run, in the test host.

.venv/bin/python Testing/benchmarks/panels.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

TESTING = Path(__file__).resolve().parents[1]
#: The field that must be filled in, by module.
REQUIRED = {
    "ChiSepPreprocess": "grePathLineEdit", "ChiSepReconstruct": "mapsFolderPathLineEdit",
    "ChiSeparation": "grePathLineEdit",
}  # fmt: skip
RUN_LIMIT_S = 60.0


def seconds_to_paint(host: Any, module: str) -> tuple[Any, float]:
    """Open a module's panel and paint it; the import of its files counts."""
    started = time.perf_counter()
    file = import_module(module)
    script = str(TESTING / "host" / "fake_chisep.py")
    logic = getattr(file, f"{module}Logic")(lambda arguments: [sys.executable, script, "succeed", *arguments])
    panel = host.open(module, logic)
    panel.parent.grab()
    return panel, time.perf_counter() - started


def longest_block_s(host: Any, panel: Any, module: str) -> float:
    """Run with a fake child; the longest time that one pass of the event loop took."""
    getattr(panel.ui, REQUIRED[module]).currentPath = tempfile.gettempdir()
    stop_at_s, longest = time.perf_counter() + RUN_LIMIT_S, 0.0
    before = time.perf_counter()
    panel.ui.runButton.click()
    while True:
        host.process_events()
        longest = max(longest, time.perf_counter() - before)
        if panel.ui.runButton.enabled:
            return longest
        assert time.perf_counter() < stop_at_s, "the run does not end"
        time.sleep(0.001)
        before = time.perf_counter()


def main() -> None:
    """Print a table."""
    sys.path.insert(0, str(TESTING))
    from host.running import running_host

    sys.stdout.write("| module | first paint, s | painted again, s | longest block, s |\n|---|---|---|---|\n")
    with running_host() as host:
        for module in REQUIRED:
            panel, first = seconds_to_paint(host, module)
            block = longest_block_s(host, panel, module)
            host.close(panel)
            again_panel, again = seconds_to_paint(host, module)
            host.close(again_panel)
            sys.stdout.write(f"| {module} | {first:.2f} | {again:.2f} | {block:.3f} |\n")
        for problem in host.problems:
            sys.stdout.write(f"{problem}\n")


if __name__ == "__main__":
    main()
