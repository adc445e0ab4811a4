"""What the engine's choices change in the maps of trained weights: precision, tiles, margin, mirrored heads.

    .venv/bin/python Testing/benchmarks/engine_errors.py [--weights simulated-1] [--seed 50] [--folder FOLDER]
        [--block 96 128 96] [--device auto] [--only precision margin mirror tiles] [--methods chi-sepnet-r2prime ...]

One held-out simulated patient after the whole preprocessing (that of ``trained.py``; with ``--folder`` it is kept
there). Each figure is the NRMSE in per cent, in the brain mask, against the same method run whole in float32 with the
default margin. QSM by total variation, from which QSMnet_ME may start, does not depend on the engine and is made once
for each input. "Mirrored" is the head with left and right (or another pair of ends) exchanged and the result put back:
a network that treats both sides alike would give the same; its rows tell the error against the truth too, and that of
the mean of both. With ``--block`` only a central block of so many mm counts as brain, for slow machines.

Tiles are cut along the longest axis, as the engine does where memory is short, or along all three.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from judged import write_examination
from numpy.typing import NDArray
from trained import FIRST_SEED, patient_of

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.files import read_mapset
from ChiSepReconstructLib.evaluation.evaluate import evaluate
from ChiSepReconstructLib.networks import inversion
from ChiSepReconstructLib.networks.engine import EngineOptions
from ChiSepReconstructLib.pipeline import reconstruct

Volumes = dict[str, NDArray[np.float32]]

#: Maps of each method that are judged.
METHODS: Mapping[str, tuple[str, ...]] = {
    "qsmnet": ("chi_total",),
    "chi-sepnet-r2prime": ("chi_para", "chi_dia"),
    "chi-sepnet-r2star": ("chi_para", "chi_dia"),
}
STUDIES = ("precision", "margin", "mirror", "tiles")
_ENDS = {"left and right": 0, "front and back": 1, "top and bottom": 2}
#: Halo and side of the tiles, voxels, and how many axes are cut; the smallest side that a halo allows comes first.
_TILES = ((16, 48, 1), (16, 96, 1), (24, 64, 1), (32, 80, 1), (32, 96, 1), (32, 128, 1), (40, 96, 1), (48, 112, 1),
          (48, 128, 1), (48, 160, 1), (56, 128, 1), (56, 144, 1), (64, 144, 1), (32, 96, 3))  # fmt: skip
_UNCUT = 1024


def main() -> None:
    """Make the patient, run each study, print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="simulated-1", help="an installed set")
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--folder", type=Path, help="keeps the patient")
    parser.add_argument("--block", type=float, nargs=3, help="mm; the whole brain if left out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", nargs="+", default=list(STUDIES), choices=STUDIES)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--tiles", nargs="+", type=_tile, default=list(_TILES), help="halo:side:axes, such as 48:128:1")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, starts_made_once():
        maps, truth = patient(chosen.folder or Path(scratch), chosen.seed)
        if chosen.block:
            maps, truth = (central(one, chosen.block) for one in (maps, truth))
        study = Study(maps, truth, chosen.weights, chosen.device, chosen.methods)
        for name in chosen.only:
            if name == "mirror":
                study.mirrored()
            else:
                study.table(name, rows(name, chosen.tiles))


def _tile(text: str) -> tuple[int, int, int]:
    halo, side, axes = (int(part) for part in text.split(":"))
    return halo, side, axes


def patient(folder: Path, seed: int) -> tuple[MapSet, MapSet]:
    """Maps as measured, and the truth, from the folder if they are there."""
    own = folder / str(seed)
    if not own.exists():
        write_examination(own, patient_of(seed, coarse=False)[1], None)
    return read_mapset(own / "measured"), read_mapset(own / "truth")


def central(maps: MapSet, edges_mm: Sequence[float]) -> MapSet:
    """The same maps with a brain mask that ends at a block around the brain's middle."""
    brain = maps.array("brain_mask")
    block = block_of(brain, maps.grid.voxel_size_mm, edges_mm)
    return maps.including(replace(maps["brain_mask"], data=brain & block))


def block_of(
    brain: NDArray[np.bool_], voxel_mm: Sequence[float], edges_mm: Sequence[float], rim_mm: float = 0.0
) -> NDArray[np.bool_]:
    """A block of these edges around the middle of the brain's box, less a rim."""
    block = np.zeros(brain.shape, dtype=bool)
    middles = [(one.start + one.stop) // 2 for one in bounding_box(brain)]
    halves = [round((edge / 2 - rim_mm) / size) for edge, size in zip(edges_mm, voxel_mm, strict=True)]
    i, j, k = (slice(max(m - half, 0), m + half) for m, half in zip(middles, halves, strict=True))
    block[i, j, k] = True
    return block


def rows(name: str, tiles: Sequence[tuple[int, int, int]]) -> dict[str, dict[str, Any]]:
    """Changed options of the engine by a title."""
    if name == "precision":
        return {"bfloat16": {"precision": "bfloat16"}}
    if name == "margin":
        return {f"{n} voxels": {"margin_voxels": n} for n in (0, 16)}
    return {
        f"{halo} | {side} | {axes}": {"halo_voxels": halo, "tile": (*[side] * axes, *[_UNCUT] * (3 - axes))}
        for halo, side, axes in tiles
    }


@contextmanager
def starts_made_once() -> Iterator[None]:
    """Keep what total variation makes of a field for the next run on it."""
    kept: dict[bytes, NDArray[np.float32]] = {}
    original = inversion.tv_start

    def start(field: NDArray[np.float32], *more: Any) -> NDArray[np.float32]:
        key = field.tobytes()
        if key not in kept:
            kept[key] = original(field, *more)
        return kept[key]

    with patch.object(inversion, "tv_start", start):
        yield


class Study:
    """One patient and one set of weights; results are printed."""

    def __init__(self, maps: MapSet, truth: MapSet, weights: str, device: str, methods: Sequence[str]) -> None:
        self.maps, self.truth, self.weights, self.device, self.methods = maps, truth, weights, device, methods
        self.mask = maps.array("field_mask") & maps.array("brain_mask")
        self.whole, self.seconds, self.record = self.run(maps)
        say(f"{self.record['device']}, grid {maps.grid.shape}, {self.seconds:.1f} s whole in float32.\n")

    def run(self, maps: MapSet, **changed: Any) -> tuple[Volumes, float, dict[str, Any]]:
        """Maps of each method, seconds of them all, and the engine's record."""
        engine = EngineOptions(**{"device": self.device, "precision": "float32", "tile": "whole", **changed})
        options = {"weights": self.weights, "engine": asdict(engine)}
        found: Volumes = {}
        started = time.perf_counter()
        for method in self.methods:
            made = reconstruct(maps, method=method, options=options)
            found |= {f"{name}, {method}": made.array(name) for name in METHODS[method]}
            record = made[METHODS[method][0]].options["network_engine"]
        return found, time.perf_counter() - started, dict(record)

    def table(self, name: str, changed: Mapping[str, Mapping[str, Any]]) -> None:
        """One row for each change."""
        heads = ["halo | side | axes cut" if name == "tiles" else name, *self.whole, "tiles", "seconds"]
        write(" | ".join(heads).split(" | "))
        write(["---"] * len(" | ".join(heads).split(" | ")))
        for title, options in changed.items():
            found, seconds, record = self.run(self.maps, **options)
            tiles = max(one["tiles"] for one in record["runs"].values())
            write([title, *self._differences(found), str(tiles), f"{seconds:.1f}"])
        say("")

    def _differences(self, found: Volumes) -> list[str]:
        return [f"{nrmse(found[name][self.mask], one[self.mask]):.2g}" for name, one in self.whole.items()]

    def mirrored(self) -> None:
        """Each pair of ends exchanged: the difference, and errors against the truth of both and of their mean."""
        write(["exchanged", "", *self.whole])
        write(["---"] * (len(self.whole) + 2))
        axes = np.abs(self.maps.grid.directions).argmax(axis=1)
        write(["none", "error", *self._errors(self.whole)])
        for title, world in _ENDS.items():
            axis = int(axes[world])
            turned = flipped(self.maps, axis)
            found = {name: np.flip(one, axis) for name, one in self.run(turned)[0].items()}
            write([title, "difference", *self._differences(found)])
            write(["", "error", *self._errors(found)])
            mean = {name: (one + found[name]) / np.float32(2) for name, one in self.whole.items()}
            write(["", "error of the mean", *self._errors(mean)])
        say("")

    def _errors(self, found: Mapping[str, NDArray[Any]]) -> list[str]:
        shown = []
        for title, data in found.items():
            name = title.partition(",")[0]
            estimate = self.maps.including(replace(self.truth[name], data=np.ascontiguousarray(data)))
            shown.append(f"{evaluate(estimate, self.truth, (name,))[name]['nrmse_percent']:.1f}")
        return shown


def flipped(maps: MapSet, axis: int) -> MapSet:
    """The mirrored head on the same grid; B0 is mirrored too, whose sense does not matter."""
    b0 = list(maps.scan.b0_direction_ijk)
    b0[axis] *= -1
    scan = replace(maps.scan, b0_direction_ijk=(b0[0], b0[1], b0[2]))
    turned = {name: replace(one, data=np.ascontiguousarray(np.flip(one.data, axis))) for name, one in maps.items()}
    return MapSet(maps.grid, scan, turned)


def nrmse(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """In per cent."""
    return float(100 * np.linalg.norm(found - expected) / np.linalg.norm(expected))


def write(cells: Sequence[str]) -> None:
    """One row of Markdown, at once."""
    say(f"| {' | '.join(cells)} |")


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
