"""Time, peak memory and floor of every step, and of the whole call, on a simulated 256×224×176 volume with 6 echoes.

    .venv/bin/python Testing/benchmarks/steps.py [--voxel-size-mm 1] [--json FILE]
    .venv/bin/python Testing/benchmarks/steps.py --sizes [2 1.5 1]

Each step runs in a process of its own, so that peak memory is the step's own (its inputs included). It runs twice: the
first call also loads libraries and compiled kernels, whose cache a run on a coarse volume has filled before. The floor
is what the machine cannot undercut: the step's inputs and outputs moved once at the measured copying speed, plus the
Fourier transforms that its definition needs (at 1 mm, with the iterations it made) at the measured speed of one forward
and inverse pair of the brain's box.

The whole call is ``preprocess()`` without a spin echo, also twice in one process. With ``--sizes`` it alone runs, at
several voxel sizes: its cost is linear where the last column stays the same.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ChiSepPhantoms import PhantomOptions
from ChiSepPhantoms import simulate as simulate_patient
from ChiSepPreprocessLib.artifacts import Acquisition, Image, Map, MapSet
from ChiSepPreprocessLib.bgremove.removal import BackgroundOptions, remove_background
from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.coils.bipolar import BipolarOptions, bipolar_score
from ChiSepPreprocessLib.coils.mcpc3ds import PhaseOffsetOptions, remove_phase_offset
from ChiSepPreprocessLib.fieldmap.combine import combine_echoes
from ChiSepPreprocessLib.fieldmap.complex_fit import ComplexFitOptions, complex_fit_field
from ChiSepPreprocessLib.fieldmap.field import FieldOptions
from ChiSepPreprocessLib.fieldmap.offset import remove_remaining_offset
from ChiSepPreprocessLib.fieldmap.reliability import estimate_noise_sigma, field_sigma_hz
from ChiSepPreprocessLib.masking.bet import brain_mask
from ChiSepPreprocessLib.masking.mask import MaskOptions, make_brain_mask
from ChiSepPreprocessLib.masking.quality import with_surroundings
from ChiSepPreprocessLib.pipeline import combined_magnitude, preprocess
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepPreprocessLib.quality.record import quality_record
from ChiSepPreprocessLib.quantities import hz_to_ppm
from ChiSepPreprocessLib.registration.rigid import align, resample
from ChiSepPreprocessLib.relaxometry.r2 import r2
from ChiSepPreprocessLib.relaxometry.r2star import R2StarOptions, r2star
from ChiSepPreprocessLib.unwrap.romeo import RomeoOptions, unwrap
from ChiSepReconstructLib.solvers.tkd import TkdOptions, tkd

Arrays = dict[str, Any]
MATRIX = (256, 224, 176)
SIZES_MM = (2.0, 1.5, 1.0)
_COARSE_MM = 4.0
_EPG_VOXELS = 1_000_000
_TWENTY_MM = BackgroundOptions(method="v-sharp", vsharp=VSharpOptions(maximum_radius_mm=20.0))


@dataclass(frozen=True)
class Step:
    """One step: what it reads, and how many Fourier pairs it cannot do without.

    ``pairs_each_iteration`` counts for every iteration, or sphere's radius, that the step reports.
    """

    name: str
    function: Callable[[Arrays], Arrays]
    reads: tuple[str, ...]
    fourier_pairs: float = 0.0
    pairs_each_iteration: float = 0.0


@dataclass
class Counter:
    """Progress callback that remembers iterations and radii."""

    seen: set[str] = field(default_factory=set)

    def __call__(self, status: Status) -> None:
        if status.detail.startswith(("iteration", "radius")):
            self.seen.add(status.detail)


def _mask(a: Arrays) -> Arrays:
    return {"mask": make_brain_mask(a["magnitude"], a["phase"], a["times"], a["size"], report=a["report"],
                                    superior_axis_ijk=a["b0"])}  # fmt: skip


def _bet(a: Arrays) -> Arrays:
    whole = combined_magnitude(a["magnitude"])
    return {"bet": brain_mask(whole, a["size"], report=a["report"], superior_axis_ijk=a["b0"])}


def _region(a: Arrays) -> Arrays:
    options = MaskOptions()
    return {"region": with_surroundings(a["phase"], a["magnitude"], a["times"], a["mask"], a["size"],
                                        options.surroundings_mm, options.quality)}  # fmt: skip


def _bipolar(a: Arrays) -> Arrays:
    score = bipolar_score(a["magnitude"], a["phase"], a["times"], a["mask"], a["size"], BipolarOptions(), a["report"])
    return {"bipolar": score}


def _offset(a: Arrays) -> Arrays:
    corrected, _ = remove_phase_offset(
        a["magnitude"], a["phase"], a["times"], a["region"], a["size"], PhaseOffsetOptions(), a["report"]
    )
    return {"corrected": corrected}


def _unwrap(a: Arrays) -> Arrays:
    return {"unwrapped": unwrap(a["corrected"], a["magnitude"], a["times"], a["region"], RomeoOptions(), a["report"])}


def _combine(a: Arrays) -> Arrays:
    options, data = FieldOptions(), (a["unwrapped"], a["magnitude"], a["times"], a["region"])
    remove_remaining_offset(*data, a["size"], options.offset_sigma_mm)
    fit = combine_echoes(*data, options.average)
    noise = estimate_noise_sigma(fit, a["mask"])
    sigma = field_sigma_hz(fit, a["region"], noise, a["size"])
    return {"total": fit.field_hz, "residual": fit.residual_rad, "sigma": sigma}


def _r2star(a: Arrays) -> Arrays:
    fit = r2star(a["magnitude"], a["times"], a["mask"], R2StarOptions(), field_hz=a["total"], voxel_size_mm=a["size"])
    return {"r2star": fit.rate_per_s}


def _arlo(a: Arrays) -> Arrays:
    return {"arlo": r2star(a["magnitude"], a["times"], a["mask"], R2StarOptions(method="arlo")).rate_per_s}


def _register(a: Arrays) -> Arrays:
    fixed = Image(combined_magnitude(a["magnitude"]), a["grid"])
    alignment = align(fixed, Image(a["se"][..., 0], a["se_grid"]), a["mask"], report=a["report"])
    return {"se_resampled": resample(a["se"], a["se_grid"], fixed.grid, alignment)}


def _r2(a: Arrays) -> Arrays:
    covered = a["mask"] & (a["se_resampled"][..., 0] > 0)
    fit = r2(a["se_resampled"], a["se_times"], covered, voxel_size_mm=a["size"], report=a["report"])
    return {"r2": fit.rate_per_s}


def _r2_of_a_million(a: Arrays) -> Arrays:
    covered = a["mask"] & (a["se_resampled"][..., 0] > 0)
    covered &= np.cumsum(covered).reshape(covered.shape) <= _EPG_VOXELS
    return {"r2_part": r2(a["se_resampled"], a["se_times"], covered, voxel_size_mm=a["size"]).rate_per_s}


@dataclass(frozen=True)
class Background:
    """Background removal as the chain does it, by any method; a class, so that it can be sent to a process."""

    options: BackgroundOptions = field(default_factory=BackgroundOptions)

    def __call__(self, a: Arrays) -> Arrays:
        known = a["region"] & (a["residual"] <= self.options.largest_residual_rad)
        local, valid = remove_background(a["total"], a["mask"], a["size"], a["b0"], self.options, a["report"],
                                         known=known, sigma=a["sigma"])  # fmt: skip
        if self.options == BackgroundOptions():
            return {"local": local, "valid": valid}
        return {"other_local": local, "other_valid": valid}


def _complex_fit(a: Arrays) -> Arrays:
    fit = complex_fit_field(a["phase"], a["magnitude"], a["times"], a["region"], ComplexFitOptions(), a["report"])
    return {"complex_fit": fit.frequency_hz}


def _quality(a: Arrays) -> Arrays:
    frequency_hz = a["scan"].reference_frequency_hz
    arrays = {"brain_mask": a["mask"], "field_mask": a["valid"], "phase_residual": a["residual"],
              "total_field": hz_to_ppm(a["total"], frequency_hz), "field_sigma": hz_to_ppm(a["sigma"], frequency_hz),
              "local_field": hz_to_ppm(a["local"], frequency_hz), "r2star": a["r2star"], "r2": a["r2"]}  # fmt: skip
    maps = (Map(name=name, data=data, grid=a["grid"], method="benchmark") for name, data in arrays.items())
    record = quality_record(acquisition(a), MapSet(a["grid"], a["scan"]).including(*maps))
    return {"warnings": len(record.warnings)}


def _tkd(a: Arrays) -> Arrays:
    box = bounding_box(a["valid"])  # as the reconstruction does
    field_ppm = hz_to_ppm(a["local"][box], a["scan"].reference_frequency_hz)
    return {"chi": tkd(field_ppm, a["valid"][box], a["size"], a["b0"], TkdOptions(), a["report"])}


_FIELD = ("total", "mask", "region", "residual", "sigma")
CHAIN = (
    Step("brain mask (BET + phase quality)", _mask, ("magnitude", "phase")),
    Step("surroundings with reliable phase", _region, ("magnitude", "phase", "mask")),
    Step("score of bipolar readout", _bipolar, ("magnitude", "phase", "mask")),
    Step("phase offset (MCPC-3D-S)", _offset, ("magnitude", "phase", "region")),
    Step("unwrapping (ROMEO, 6 echoes)", _unwrap, ("corrected", "magnitude", "region")),
    Step("remaining offset, combination, expected error", _combine, ("unwrapped", "magnitude", "mask", "region")),
    Step("R2* (maximum likelihood, field slope)", _r2star, ("magnitude", "total", "mask")),
    Step("spin echo: registration, resampling", _register, ("magnitude", "se", "mask")),
    Step("R2 (EPG, resampled echoes)", _r2, ("se_resampled", "mask")),
    # Iterations run on blocks of 27 voxels; on the voxels: five pairs, and one three times as large for the dipole.
    Step("local field (single step)", Background(), _FIELD, 7.5, 0.22),
    Step("quality record", _quality,
         ("magnitude", "phase", "mask", "valid", "residual", "total", "sigma", "local", "r2star", "r2")),
)  # fmt: skip
BESIDE = (
    Step("R2* (ARLO)", _arlo, ("magnitude", "mask")),
    Step("BET alone", _bet, ("magnitude",)),
    Step("local field (V-SHARP up to 20 mm)", Background(_TWENTY_MM), _FIELD, 1.5, 0.5),
    Step("local field (LBV)", Background(BackgroundOptions(method="lbv")), _FIELD),
    Step("local field (PDF)", Background(BackgroundOptions(method="pdf")), _FIELD, 0.0, 2.0),
    Step("complex fit of the field", _complex_fit, ("magnitude", "phase", "region")),
    Step("R2 (EPG, at most 1 million voxels × 6 echoes)", _r2_of_a_million, ("se_resampled", "mask")),
    Step("χ from the local field (TKD)", _tkd, ("local", "valid"), 1.0),
)


def acquisition(a: Arrays) -> Acquisition:
    """The gradient echo alone."""
    return Acquisition(gre_magnitude=a["magnitude"], gre_phase=a["phase"], grid=a["grid"], scan=a["scan"])


def run_step(step: Step, folder: Path, facts: Arrays) -> dict[str, Any]:
    """Run one step in this process and say what it cost."""
    counter = Counter()
    inputs = {name: np.load(folder / f"{name}.npy") for name in step.reads}
    arrays = {**facts, **inputs, "report": Reporter(counter)}
    (made, first), peak = timed(step.function, arrays), peak_gib()
    _, second = timed(step.function, arrays)
    moved = sum(np.asarray(value).nbytes for value in (*inputs.values(), *made.values()))
    for name, value in made.items():
        np.save(folder / f"{name}.npy", value)
    pairs = step.fourier_pairs + step.pairs_each_iteration * len(counter.seen)
    return {"step": step.name, "seconds": second, "seconds_first": first, "peak_gib": peak, "bytes": moved,
            "fourier_pairs": pairs}  # fmt: skip


def run_whole(folder: Path, facts: Arrays) -> dict[str, float]:
    """Run the whole call twice in this process."""
    data = acquisition({**facts, **{name: np.load(folder / f"{name}.npy") for name in ("magnitude", "phase")}})
    (maps, first), peak = timed(preprocess, data), peak_gib()
    _, second = timed(preprocess, data)
    voxels = int(np.count_nonzero(maps.array("brain_mask")))
    return {"size_mm": facts["size"][0], "voxels": voxels, "seconds": second, "seconds_first": first, "peak_gib": peak,
            "seconds_per_million": 1e6 * second / (voxels * len(facts["times"]))}  # fmt: skip


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Result and seconds."""
    started = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - started


def peak_gib() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def run_all(folder: Path, voxel_size_mm: float) -> list[dict[str, Any]]:
    """Simulate a volume and run every step on it, each in a fresh process."""
    facts = alone(simulate, folder, voxel_size_mm)
    return [alone(run_step, step, folder, facts) for step in (*CHAIN, *BESIDE)]


def run_sizes(sizes_mm: Sequence[float]) -> list[dict[str, float]]:
    """Simulate a volume for each voxel size and run the whole call on it, each in a fresh process."""
    found = []
    for size_mm in sizes_mm:
        with tempfile.TemporaryDirectory() as name:
            facts = alone(simulate, Path(name), size_mm)
            found.append(alone(run_whole, Path(name), facts))
    return found


def copy_speed_bytes_per_s() -> float:
    """Bytes read and written per second when a large array is copied."""
    source = np.ones(2**26, np.float32)
    target = np.empty_like(source)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - started)
    return 2 * source.nbytes / min(times)


def fourier_pair_seconds(shape: tuple[int, ...]) -> float:
    """Seconds of one forward and inverse real transform in float32 on all processors."""
    from scipy import fft

    size = tuple(fft.next_fast_len(n, real=True) for n in shape)
    data = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        fft.irfftn(fft.rfftn(data, workers=-1), s=size, workers=-1)
        times.append(time.perf_counter() - started)
    return min(times)


def simulate(folder: Path, voxel_size_mm: float) -> Arrays:
    """Simulate the volume, save its arrays, return what is small."""
    ni, nj, nk = (round(n / voxel_size_mm) for n in MATRIX)
    options = PhantomOptions(voxel_size_mm=(voxel_size_mm,) * 3, fine_mm=voxel_size_mm, shape=(ni, nj, nk), flair=False)
    patient = simulate_patient(options).acquisition
    np.save(folder / "magnitude.npy", patient.gre_magnitude)
    np.save(folder / "phase.npy", patient.gre_phase)
    assert patient.spin_echo is not None
    np.save(folder / "se.npy", patient.spin_echo.magnitude)
    return {"scan": patient.scan, "grid": patient.grid, "times": patient.scan.echo_times_s,
            "size": patient.grid.voxel_size_mm, "b0": patient.scan.b0_direction_ijk,
            "se_grid": patient.spin_echo.grid, "se_times": patient.spin_echo.echo_times_s}  # fmt: skip


def step_table(rows: list[dict[str, Any]], machine: Mapping[str, float]) -> str:
    """Cost of the steps as a Markdown table, those of the chain first."""
    lines = ["| step | seconds | s, first call | peak GiB | floor s | times the floor |", "|---" * 6 + "|"]
    for number, row in enumerate(rows):
        if number == len(CHAIN):
            lines.append("| *beside the chain:* | | | | | |")
        floor = row["bytes"] / machine["bytes_per_s"] + row["fourier_pairs"] * machine["fourier_pair_s"]
        lines.append(f"| {row['step']} | {row['seconds']:.2f} | {row['seconds_first']:.2f} "
                     f"| {row['peak_gib']:.2f} | {floor:.3f} | {row['seconds'] / floor:.1f} |")  # fmt: skip
    return "\n".join(lines)


def whole_table(rows: list[dict[str, float]]) -> str:
    """Cost of the whole call as a Markdown table."""
    lines = ["| voxel size, mm | mask voxels | seconds | s, first call | peak GiB "
             "| s per million mask voxels × echo |", "|---" * 6 + "|"]  # fmt: skip
    lines += [f"| {row['size_mm']:g} | {row['voxels']} | {row['seconds']:.1f} | {row['seconds_first']:.1f} "
              f"| {row['peak_gib']:.2f} | {row['seconds_per_million']:.2f} |" for row in rows]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Fill the cache of compiled kernels, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxel-size-mm", type=float, default=1.0)
    parser.add_argument("--sizes", type=float, nargs="*", help="voxel sizes (mm) of the whole call; runs no steps")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run_all(Path(name), _COARSE_MM)
    found = measure_sizes(chosen.sizes or SIZES_MM) if chosen.sizes is not None else measure(chosen.voxel_size_mm)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2))


def measure_sizes(sizes_mm: Sequence[float]) -> dict[str, Any]:
    """Run and print the whole call at every size."""
    whole = run_sizes(sizes_mm)
    sys.stdout.write(f"{os.cpu_count()} processors\n\n{whole_table(whole)}\n")
    return {"whole": whole}


def measure(voxel_size_mm: float) -> dict[str, Any]:
    """Run and print every step and the whole call at one size."""
    with tempfile.TemporaryDirectory() as name:
        rows = run_all(Path(name), voxel_size_mm)
        mask = np.load(Path(name) / "mask.npy")
    whole, box = run_sizes([voxel_size_mm]), mask[bounding_box(mask)].shape
    machine = {"bytes_per_s": copy_speed_bytes_per_s(), "fourier_pair_s": fourier_pair_seconds(box)}
    speed, pair = machine["bytes_per_s"] / 1e9, machine["fourier_pair_s"]
    sys.stdout.write(f"{os.cpu_count()} processors, matrix {mask.shape}, {int(mask.sum())} mask voxels, ")
    sys.stdout.write(f"copying {speed:.1f} GB/s, one Fourier pair of the brain's box {box} {pair:.3f} s\n\n")
    sys.stdout.write(f"{step_table(rows, machine)}\n\n{whole_table(whole)}\n")
    return {"machine": machine, "steps": rows, "whole": whole}


if __name__ == "__main__":
    main()
