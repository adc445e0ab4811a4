"""How fast the panels are, in the test host.

Time until a module's panel is first painted, the longest block of the window during a run, and the time from one of
300 lesions to the next.

.venv/bin/python Testing/benchmarks/panels.py
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
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
#: Lesions that are stepped through, in a head of 1 mm, and the steps of which the median counts.
LESIONS, STEPS = 300, 40
HEAD = (160, 200, 160)
VIEWS = ("ChiSepFlair", "ChiSepPara", "ChiSepDia", "ChiSepTotal")


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


def many_lesions() -> Any:
    """Label map of lesions on a lattice, so that none touches another."""
    import numpy as np

    labels = np.zeros(HEAD, np.int16)
    places = [(i, j, k) for k in range(20, 140, 12) for j in range(20, 180, 12) for i in range(20, 140, 12)]
    for number, (i, j, k) in enumerate(places[:: len(places) // LESIONS][:LESIONS], start=1):
        labels[i : i + 4, j : j + 4, k : k + 3] = number
    return labels


def add_patient(scene: Any) -> None:
    """Add FLAIR, mask, χ maps and lesions to a scene."""
    import numpy as np

    from ChiSeparationLib.scene.lesion_segments import add_lesion_segments
    from ChiSepPreprocessLib.artifacts import Grid, Image, Map
    from ChiSepPreprocessLib.scene.nodes import add_image, add_map

    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = [-side / 2 for side in HEAD]
    grid, generator = Grid(HEAD, affine), np.random.default_rng(0)
    noise = generator.normal(0.0, 0.01, HEAD).astype(np.float32)
    add_image(scene, "flair", Image(noise, grid))
    add_map(scene, Map(name="brain_mask", data=np.ones(HEAD, bool), grid=grid))
    for name in ("chi_para", "chi_dia", "chi_total"):
        add_map(scene, Map(name=name, data=np.abs(noise), grid=grid, method="closed-form"))
    add_lesion_segments(scene, Map(name="lesions", data=many_lesions(), grid=grid))


def seconds_to_next(host: Any, *, with_reference: bool) -> tuple[float, float, float]:
    """Step through the lesions with all four views drawn; median and longest step, and the median of a grade, s."""
    add_patient(host.scene)
    panel = host.open("ChiSeparation")
    panel.ui.pageTabs.setCurrentIndex(1)
    ui = panel.review.ui
    ui.readerLineEdit.text = "AB"
    ui.referenceCheckBox.checked = with_reference
    ui.layoutButton.click()
    host.show_views()
    ui.nextButton.click()  # the first step shows the maps
    host.process_events()
    steps = [_timed(host, ui.nextButton.click) for _step in range(STEPS)]
    grades = [_timed(host, button.click) for button in (ui.para1Button, ui.dia1Button, ui.para2Button, ui.dia2Button)]
    host.close(panel)
    return statistics.median(steps), max(steps), statistics.median(grades)


def _timed(host: Any, act: Callable[[], None]) -> float:
    """Time until what was done is on the screen, all four views drawn."""
    manager = host.app.layoutManager()
    views = [manager.sliceWidget(name).sliceView() for name in VIEWS]
    started = time.perf_counter()
    act()
    host.process_events()
    for view in views:
        view.forceRender()
    return time.perf_counter() - started


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
    sys.stdout.write(f"\n| {LESIONS} lesions | next, s | longest, s | grade, s |\n|---|---|---|---|\n")
    for title, with_reference in (("outlines", False), ("outlines and reference", True)):
        with running_host() as host, tempfile.TemporaryDirectory() as folder:
            os.environ["CHISEP_DATA"] = folder
            step, longest, grade = seconds_to_next(host, with_reference=with_reference)
            sys.stdout.write(f"| {title} | {step:.3f} | {longest:.3f} | {grade:.3f} |\n")


if __name__ == "__main__":
    main()
