"""How long a reader waits: 300 lesions in maps of 1 mm, two pipelines, every question of one reader answered.

.venv/bin/python Testing/benchmarks/lesion_review.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.reading import Judgement
from ChiSeparationLib.scene.lesion_segments import add_lesion_segments
from ChiSeparationLib.scene.review_session import ReviewSession
from ChiSeparationLib.scene.review_views import Outlines, ReviewViews
from ChiSepPreprocessLib.artifacts import Grid, Image, Map
from ChiSepPreprocessLib.scene.nodes import add_image, add_map, put_in_folder
from ChiSepPreprocessLib.scene.session import open_session

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lesion_scene import add_segment

GRID = Grid((208, 256, 176), np.array([[1.0, 0, 0, -104], [0, 1, 0, -128], [0, 0, 1, -88], [0, 0, 0, 1]]))
LESIONS = 300
METHODS = ("medi", "chi-sepnet-r2prime")
#: Repeats of a step whose longest time counts.
REPEATS = 50


def lesion_labels() -> np.ndarray[Any, Any]:
    """Balls of 27 to 900 mm³ on a lattice within the head."""
    labels, random = np.zeros(GRID.shape, dtype=np.int32), np.random.default_rng(1)
    corners = [(i, j, k) for i in range(30, 170, 18) for j in range(30, 220, 18) for k in range(30, 140, 26)]
    for label, (i, j, k) in enumerate(corners[:LESIONS], start=1):
        size = int(random.integers(3, 10))
        labels[i : i + size, j : j + size, k : k + size] = label
    return labels


def review(folder: Path) -> ReviewSession:
    """A scene with everything in it, under review."""
    scene, random = open_session().scene, np.random.default_rng(2)
    brain = np.zeros(GRID.shape, dtype=bool)
    brain[20:-20, 20:-20, 20:-20] = True
    add_image(scene, "flair", Image(random.random(GRID.shape, dtype=np.float32), GRID))
    for name in ("brain_mask", "field_mask"):
        add_map(scene, Map(name=name, data=brain, grid=GRID))
    for method in METHODS:
        for name in ("chi_para", "chi_dia", "chi_total"):
            data = random.random(GRID.shape, dtype=np.float32) * np.float32(0.05)
            put_in_folder(scene, add_map(scene, Map(name=name, data=data, grid=GRID, method=method)), method)
    lesions = add_lesion_segments(scene, Map(name="lesions", data=lesion_labels(), grid=GRID))
    return ReviewSession(scene, lesions, autosave_folder=folder)


def line(name: str, times_s: Iterable[float]) -> None:
    """Write one row: median and longest, ms."""
    ms = np.array(list(times_s)) * 1e3
    sys.stdout.write(f"| {name} | {np.median(ms):.1f} | {ms.max():.1f} |\n")


def timed(function: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    """Print a table."""
    sys.stdout.write("| step | median, ms | longest, ms |\n|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder:
        session = review(Path(folder))
        views = ReviewViews(session)
        again = [timed(lambda: ReviewSession(session.scene, session.segmentation).close()) for _ in range(3)]
        line("a session on the scene", again)
        line("views of one pipeline", [timed(views.show)])
        asked = session.questions("A")
        session.take_over(Judgement(question=one, grade=Grade.ISO, comment="a comment") for one in asked[REPEATS:])
        line(f"judgement, {len(asked)} at the end",
             [timed(partial(session.say, one, Grade.HYPER, 2)) for one in asked[:REPEATS]])  # fmt: skip
        line("undo", [timed(session.undo) for _ in range(REPEATS)])
        line("next question without a grade", [timed(lambda: session.next_ungraded("A")) for _ in range(REPEATS)])
        ids = [one.lesion_id for one in session.lesions]
        line("select, views jump", [timed(partial(session.select, one)) for one in ids])
        views.set_outlines(Outlines.SELECTED)
        line("select, only its outline", [timed(partial(session.select, one)) for one in ids])
        line("reference region, first", [timed(lambda: views.set_reference(True))])
        line("select, with reference region", [timed(partial(session.select, one)) for one in ids])
        views.set_reference(False)
        line("flicker", [timed(lambda: views.flicker(*METHODS)) for _ in range(REPEATS)])
        line("suggestions of one pipeline", [timed(lambda: session.suggestions(METHODS[0]))])
        new = np.zeros(GRID.shape, dtype=bool)
        new[100:105, 100:105, 20:25] = True
        add_segment(session.segmentation, new, grid=GRID)
        line("edits followed", [timed(session.synchronise)])
        session.close()


if __name__ == "__main__":
    main()
