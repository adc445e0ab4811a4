"""The χ-sepnet paper's study of voxel sizes on a simulated head: networks on sizes that they were not trained on.

    .venv/bin/python Testing/benchmarks/resolution.py [--weights simulated-1] [--sizes 1 2 1x1x3 0.7 ...] [--shifts 2 3]
        [--block 64 80 64] [--seed 50] [--folder FOLDER] [--naive]

True maps at 1 mm (of the patient of ``trained.py``; with ``--folder`` it is kept there) are brought to each size:
k-space cropped or padded with zeros, under Tukey's window of 0.2 (Kim et al. 2025, section 2.3). Then χ-sepnet-R2′
runs on them, and QSMnet_ME alone. "naive": the voxel size is ignored; "fast": maps are interpolated to the trained size
and results back; "best, n³": the voxels stay, QSMnet_ME runs on n³ shifted samplings of the trained size. Errors are
NRMSE in per cent against the true maps of that size, in the brain without CSF and vessels, QSM without its mean. The
inputs have no noise, so the row of the trained size is what the networks themselves err by.

With ``--block`` only a central block of so many mm counts as brain, and errors are taken 6 mm inside its faces: 27
samplings of a whole brain take long on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from engine_errors import block_of, patient, starts_made_once, write
from numpy.typing import NDArray
from trained import FIRST_SEED

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet
from ChiSepPreprocessLib.box import bounding_box
from ChiSepReconstructLib.networks import inference
from ChiSepReconstructLib.networks.resolution import Vector, across_resolutions, resampled
from ChiSepReconstructLib.networks.weights.store import find
from ChiSepReconstructLib.pipeline import reconstruct

#: The paper's three, and others between 0.6 and 3 mm; the trained size stands first.
_SIZES = ("1", "0.6", "0.7", "1.5", "2", "2.5", "3", "1x1x2", "1x1x3")
_JUDGED = {"chi-sepnet-r2prime": ("chi_para", "chi_dia"), "qsmnet": ("chi_total",)}
_INPUTS, _MARGIN_VOXELS, _RIM_MM = ("local_field", "r2prime"), 4, 6.0


def main() -> None:
    """Make the patient, print a row for each voxel size and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="simulated-1", help="an installed set")
    parser.add_argument("--sizes", nargs="+", default=list(_SIZES), help="mm, such as 2 or 1x1x3")
    parser.add_argument("--shifts", type=int, nargs="*", default=[2, 3], help="samplings along each axis")
    parser.add_argument("--block", type=float, nargs=3, help="mm; the whole brain if left out")
    parser.add_argument("--naive", action="store_true", help="also with the voxel size ignored")
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--folder", type=Path, help="keeps the patient")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        truth = patient(chosen.folder or Path(scratch), chosen.seed)[1]
        brain = centre(truth, chosen.block)
        write(["voxels, mm", "way", "χ_para", "χ_dia", "QSM", "s"])
        write(["---"] * 6)
        for text in chosen.sizes:
            study(brain, _size(text), chosen.weights, chosen.shifts, chosen.naive)


def _size(text: str) -> Vector:
    edges = [float(part) for part in text.split("x")]
    i, j, k = edges * 3 if len(edges) == 1 else edges
    return i, j, k


def centre(truth: MapSet, block_mm: list[float] | None) -> dict[str, Any]:
    """True maps in the box of the brain or a block of it, their voxel size, what counts as brain and is ``judged``."""
    brain, voxel_mm = truth.array("brain_mask"), truth.grid.voxel_size_mm
    judged = brain & ~truth.array("csf_mask") & ~truth.array("vessel_mask_para")
    if block_mm is not None:
        judged = judged & block_of(brain, voxel_mm, block_mm, _RIM_MM)
        brain = brain & block_of(brain, voxel_mm, block_mm)
    box = bounding_box(brain, _MARGIN_VOXELS)
    names = (*_INPUTS, *(name for several in _JUDGED.values() for name in several))
    arrays = {name: truth.array(name)[box].astype(np.float32) for name in names}
    return {"scan": truth.scan, "voxel_mm": voxel_mm, "brain": brain[box], "judged": judged[box], "maps": arrays}


def study(brain: dict[str, Any], target_mm: Vector, weights: str, shifts: list[int], naive: bool) -> None:
    """Every way at one size."""
    at = {name: resampled(one, brain["voxel_mm"], target_mm) for name, one in brain["maps"].items()}
    if target_mm == brain["voxel_mm"]:
        at = {name: (one, target_mm) for name, one in brain["maps"].items()}
    reached_mm = next(iter(at.values()))[1]
    inside, judged = (resampled(brain[name], brain["voxel_mm"], target_mm)[0] > 0.5 for name in ("brain", "judged"))
    data = {name: one for name, (one, _) in at.items()}
    trained_mm = find(weights).voxel_size_mm
    ways: list[tuple[str, Vector, dict[str, Any], int]] = [("fast", reached_mm, {"resolution": "fast"}, 3)]
    if naive:
        ways.insert(0, ("naive", trained_mm, {}, 3))
    if not np.allclose(reached_mm, trained_mm, rtol=0.01):
        ways += [(f"best, {n}³", reached_mm, {"resolution": "best"}, n) for n in shifts]
    for title, told_mm, options, count in ways:
        found, seconds = run(maps_of(data, inside, told_mm, brain["scan"]), {"weights": weights, **options}, count)
        shown = [f"{error(name, one, data[name], judged & inside):.1f}" for name, one in found.items()]
        write(["×".join(f"{size:.3g}" for size in reached_mm), title, *shown, f"{seconds:.0f}"])


def maps_of(data: dict[str, NDArray[np.float32]], inside: NDArray[np.bool_], voxel_mm: Vector, scan: Any) -> MapSet:
    """What the methods read, on an axial grid."""
    grid = Grid(inside.shape, np.diag([*voxel_mm, 1.0]))
    scan = replace(scan, b0_direction_ijk=(0.0, 0.0, 1.0))
    given = {"local_field": data["local_field"], "r2prime": np.maximum(data["r2prime"], 0), "brain_mask": inside}
    return MapSet(grid, scan, {name: Map(name=name, data=one, grid=grid) for name, one in given.items()})


def run(maps: MapSet, options: dict[str, Any], shifts: int) -> tuple[dict[str, NDArray[np.float32]], float]:
    """Judged maps of each method, and seconds of the first."""
    with _so_many(shifts), starts_made_once():
        made, seconds = {}, []
        for method in _JUDGED:
            started = time.perf_counter()
            made[method] = reconstruct(maps, method=method, options=options)
            seconds.append(time.perf_counter() - started)
    return {name: made[method].array(name) for method, names in _JUDGED.items() for name in names}, seconds[0]


@contextmanager
def _so_many(shifts: int) -> Iterator[None]:
    with patch.object(inference, "across_resolutions", partial(across_resolutions, shifts=shifts)):
        yield


def error(name: str, found: NDArray[np.float32], true: NDArray[np.float32], judged: NDArray[np.bool_]) -> float:
    """NRMSE in per cent; of QSM without the means, which no field tells."""
    one, other = found[judged], true[judged]
    if name == "chi_total":
        one, other = one - one.mean(), other - other.mean()
    return float(100 * np.linalg.norm(one - other) / np.linalg.norm(other))


if __name__ == "__main__":
    main()
