"""Every method on simulated patients: errors of its maps, time and peak memory.

    .venv/bin/python Testing/benchmarks/methods.py [--seeds 0] [--voxel-size-mm 1,1,1] [--tilt 0,0,0] [--snr 70]
        [--relaxivity single] [--inputs measured true] [--methods tkd tv ...] [--json FILE]

Simulated at half the voxel size. ``measured``: local field, R2′ and R2* are what preprocessing makes of the echoes;
``true``: they are the simulation's own. Errors are NRMSE in per cent in the brain without CSF and vessels, for QSM also
after a linear fit ("detrended"). Methods that take a relaxometric constant get that of the simulation (114 Hz/ppm at
2.893 T), so that the order does not depend on it; one more row shows the closed form as it ships. Each method runs in
a process of its own, twice: the first call also loads libraries. Compiled kernels are in the cache from a run on a
coarse patient before. "FFTs" are transforms of the padded volume, either way, in the second call.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from ChiSepPhantoms import PhantomOptions, simulate
from ChiSepPreprocessLib.artifacts import Map, MapSet
from ChiSepPreprocessLib.files import read_mapset, write_map
from ChiSepPreprocessLib.pipeline import preprocess
from ChiSepReconstructLib.evaluation.evaluate import evaluate
from ChiSepReconstructLib.methods import METHODS, get
from ChiSepReconstructLib.physics.fourier import PaddedFourier
from ChiSepReconstructLib.pipeline import reconstruct

#: The simulation's constant, whatever a method's default.
CONSTANT = {"relaxivity": "kim2025"}
_AS_SHIPPED = "closed-form, its own constant"
_ECHOES = "gre_magnitude.npy"
INPUTS = ("magnitude", "brain_mask", "field_mask", "field_sigma", "local_field", "r2star", "r2prime")
_COARSE_MM = 3.0


def main() -> None:
    """Simulate each patient, run every method on it, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--voxel-size-mm", default="1,1,1")
    parser.add_argument("--tilt", default="0,0,0", help="rotation of the slab about R, A and S, degrees")
    parser.add_argument("--snr", type=float, default=70.0)
    parser.add_argument("--relaxivity", default="single", choices=("single", "split"))
    parser.add_argument("--inputs", nargs="+", default=["measured", "true"], choices=("measured", "true"))
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[name for name, one in METHODS.items() if one.orientations == 1 and not one.networks],
    )
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    si, sj, sk = (float(part) for part in chosen.voxel_size_mm.split(","))
    right, anterior, superior = (float(part) for part in chosen.tilt.split(","))
    one_patient(PhantomOptions(voxel_size_mm=(_COARSE_MM,) * 3, fine_mm=_COARSE_MM, flair=False), ["true"],
                chosen.methods)  # fmt: skip
    found = {}
    for seed in chosen.seeds:
        options = PhantomOptions(
            seed=seed, voxel_size_mm=(si, sj, sk), fine_mm=min(si, sj, sk) / 2, snr=chosen.snr, flair=False,
            tilt_deg=(right, anterior, superior), relaxivity=chosen.relaxivity,
        )  # fmt: skip
        for kind, rows in one_patient(options, chosen.inputs, chosen.methods).items():
            found[f"seed {seed}, {kind} inputs"] = rows
            sys.stdout.write(f"Seed {seed}, {kind} inputs:\n\n{table(rows)}\n\n")
            sys.stdout.flush()
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2))


def one_patient(
    options: PhantomOptions, inputs: Sequence[str], methods: Sequence[str], *, again: bool = True
) -> dict[str, dict[str, Any]]:
    """Rows of every method, for each kind of inputs; without ``again``, times are those of a first call."""
    with tempfile.TemporaryDirectory() as name:
        alone(write_inputs, Path(name), options, inputs)
        return {kind: rows_of(Path(name), kind, methods, again) for kind in inputs}


def rows_of(folder: Path, kind: str, methods: Sequence[str], again: bool) -> dict[str, Any]:
    """What each method costs and how far it is off."""
    cases = {name: CONSTANT if takes_constant(name) else {} for name in methods}
    rows = {name: alone(one_method, folder, kind, name, options, again) for name, options in cases.items()}
    if "closed-form" in methods:
        rows[_AS_SHIPPED] = alone(one_method, folder, kind, "closed-form", {}, again)
    return rows


def takes_constant(name: str) -> bool:
    """Whether a method has a relaxometric constant to choose."""
    return any(one.name == "relaxivity" for one in fields(get(name).options_type))


def write_inputs(folder: Path, options: PhantomOptions, inputs: Sequence[str]) -> None:
    """Simulate a patient; write its truth, its echoes and each kind of inputs."""
    patient = simulate(options)
    truth, scan = patient.truth, patient.acquisition.scan
    np.save(folder / _ECHOES, patient.acquisition.gre_magnitude)
    for one in truth.values():
        write_map(one, scan, folder / "truth")
    measured = preprocess(patient.acquisition) if "measured" in inputs else truth
    echoes = patient.acquisition.gre_magnitude
    magnitude = Map(name="magnitude", data=np.sqrt(np.square(echoes).sum(-1)), grid=truth.grid)
    for kind in inputs:
        maps = measured if kind == "measured" else truth.including(magnitude)
        for name in INPUTS:
            if name in maps:
                write_map(maps[name], scan, folder / kind)


def one_method(folder: Path, kind: str, name: str, options: dict[str, Any], again: bool) -> dict[str, Any]:
    """Run one method in this process; errors, seconds, peak memory."""
    maps, truth = read_mapset(folder / kind), read_mapset(folder / "truth")
    if "gre_magnitude" in get(name).needs:
        maps = with_echoes(maps, folder)
    before = peak_gib()
    first, result = timed(lambda: reconstruct(maps, method=name, options=options))
    with watched_transforms() as transforms:
        seconds = timed(lambda: reconstruct(maps, method=name, options=options))[0] if again else first
    peak, compared = peak_gib(), evaluate(result, truth)
    made = {key: compared[key] for key in get(name).gives}
    return {"maps": made, "first_s": first, "seconds": seconds, "peak_gib": peak, "inputs_gib": before,
            "ffts": len(transforms), "ffts_s": sum(transforms)}  # fmt: skip


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the call gave."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


@contextmanager
def watched_transforms() -> Iterator[list[float]]:
    """Seconds of each transform that is made; those that also multiply, with the product."""
    seconds: list[float] = []

    def watched(original: Callable[..., Any]) -> Any:
        def transform(self: PaddedFourier, *given: Any, **named: Any) -> Any:
            spent, result = timed(lambda: original(self, *given, **named))
            seconds.append(spent)
            return result

        return transform

    with (patch.object(PaddedFourier, "spectrum", watched(PaddedFourier.spectrum)),
          patch.object(PaddedFourier, "volume", watched(PaddedFourier.volume))):  # fmt: skip
        yield seconds


def with_echoes(maps: MapSet, folder: Path) -> MapSet:
    """Maps and the measured magnitude of every echo."""
    return maps.including(Map(name="gre_magnitude", data=np.load(folder / _ECHOES), grid=maps.grid))


def alone(function: Any, *arguments: Any) -> Any:
    """Run a function in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_gib() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def table(rows: dict[str, Any]) -> str:
    """Markdown, a row for each method."""
    heads = (
        "method",
        "QSM",
        "QSM, detrended",
        "χ_para",
        "χ_dia",
        "s, first call",
        "s",
        "FFTs",
        "s in FFTs",
        "peak GiB",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in rows.items():
        maps = row["maps"]
        parts = [maps[key]["nrmse_percent"] if key in maps else None for key in ("chi_para", "chi_dia")]
        errors = [maps["chi_total"]["nrmse_percent"], maps["chi_total"]["nrmse_detrended_percent"], *parts]
        shown = [f"{value:.1f}" if value is not None else "" for value in errors]
        times = f"{row['first_s']:.1f} | {row['seconds']:.1f} | {row['ffts']} | {row['ffts_s']:.1f}"
        lines.append(f"| {name} | {' | '.join(shown)} | {times} | {row['peak_gib']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
