"""Time, peak memory and floor of every step on a simulated 256×224×176 volume with 6 echoes.

    .venv/bin/python Testing/benchmarks/steps.py [--voxel-size-mm 1] [--json FILE]

Each step runs in a process of its own, so that peak memory is the step's own (its inputs included).
All steps run once on a coarse volume before, which fills the cache of compiled kernels. The floor is
what the machine cannot undercut: the step's inputs and outputs moved once at the measured copying
speed, plus the Fourier transforms that its definition needs at the measured speed of one forward and
inverse pair.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ChiSepPreprocessLib.artifacts import Grid, Image

Arrays = dict[str, Any]
MATRIX = (256, 224, 176)
_COARSE_MM = 3.0


@dataclass(frozen=True)
class Step:
    """One step: what it reads, and how many Fourier pairs it cannot do without."""

    name: str
    function: Callable[[Arrays], Arrays]
    reads: tuple[str, ...]
    fourier_pairs: int = 0


def _mask(a: Arrays) -> Arrays:
    from ChiSepPreprocessLib.masking.bet import BetOptions, brain_mask
    from ChiSepPreprocessLib.pipeline import combined_magnitude
    from ChiSepPreprocessLib.progress import Reporter

    whole = combined_magnitude(a["magnitude"])
    mask = brain_mask(whole, a["size"], BetOptions(), Reporter(), superior_axis_ijk=a["b0"])
    return {"mask": mask}


def _offset(a: Arrays) -> Arrays:
    from ChiSepPreprocessLib.coils.mcpc3ds import PhaseOffsetOptions, remove_phase_offset
    from ChiSepPreprocessLib.progress import Reporter

    corrected, _ = remove_phase_offset(
        a["magnitude"], a["phase"], a["times"], a["mask"], a["size"], PhaseOffsetOptions(), Reporter()
    )
    return {"corrected": corrected}


def _unwrap(a: Arrays) -> Arrays:
    from ChiSepPreprocessLib.progress import Reporter
    from ChiSepPreprocessLib.unwrap.romeo import RomeoOptions, unwrap

    return {"unwrapped": unwrap(a["corrected"], a["magnitude"], a["times"], a["mask"], RomeoOptions(), Reporter())}


def _combine(a: Arrays) -> Arrays:
    from ChiSepPreprocessLib.fieldmap.combine import CombineOptions, combine_echoes

    fit = combine_echoes(a["unwrapped"], a["magnitude"], a["times"], a["mask"], CombineOptions())
    return {"total": fit.field_hz}


def _background(a: Arrays) -> Arrays:
    from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions, vsharp
    from ChiSepPreprocessLib.progress import Reporter

    local, valid = vsharp(a["total"], a["mask"], a["size"], VSharpOptions(), Reporter())
    return {"local": local, "valid": valid}


def _r2star(a: Arrays) -> Arrays:
    from ChiSepPreprocessLib.relaxometry.r2star import R2StarOptions, r2star

    return {"r2star": r2star(a["magnitude"], a["times"], a["mask"], R2StarOptions()).rate_per_s}


def _register(a: Arrays) -> Arrays:
    from ChiSepPreprocessLib.pipeline import combined_magnitude
    from ChiSepPreprocessLib.progress import Reporter
    from ChiSepPreprocessLib.registration.rigid import RegistrationOptions, align, resample

    fixed = Image(combined_magnitude(a["magnitude"]), Grid(a["mask"].shape, a["affine"]))
    se_grid = Grid(a["se"].shape[:3], a["se_affine"])
    alignment = align(fixed, Image(a["se"][..., 0], se_grid), a["mask"], RegistrationOptions(), Reporter())
    return {"se_resampled": resample(a["se"], se_grid, fixed.grid, alignment)}


def _r2(a: Arrays) -> Arrays:
    from ChiSepPreprocessLib.relaxometry.r2 import R2Options, r2

    return {"r2": r2(a["se_resampled"], a["se_times"], a["mask"], R2Options()).rate_per_s}


def _tkd(a: Arrays) -> Arrays:
    from ChiSepPreprocessLib.progress import Reporter
    from ChiSepPreprocessLib.quantities import hz_to_ppm
    from ChiSepReconstructLib.solvers.tkd import TkdOptions, tkd

    field_ppm = hz_to_ppm(a["local"], 127.73e6)
    return {"chi": tkd(field_ppm, a["valid"], a["size"], a["b0"], TkdOptions(), Reporter())}


STEPS = (
    Step("brain mask (BET)", _mask, ("magnitude",)),
    Step("phase offset (MCPC-3D-S)", _offset, ("magnitude", "phase", "mask")),
    Step("unwrapping (ROMEO, 6 echoes)", _unwrap, ("corrected", "magnitude", "mask")),
    Step("echo combination", _combine, ("unwrapped", "magnitude", "mask")),
    Step("background (V-SHARP)", _background, ("total", "mask"), fourier_pairs=12),
    Step("R2* (ARLO)", _r2star, ("magnitude", "mask")),
    Step("spin echo registration", _register, ("magnitude", "se", "mask")),
    Step("R2 (mono-exponential)", _r2, ("se_resampled", "mask")),
    Step("TKD", _tkd, ("local", "valid"), fourier_pairs=1),
)


def run_step(step: Step, folder: Path, facts: Arrays) -> dict[str, Any]:
    """Run one step in this process and say what it cost."""
    arrays = {**facts, **{name: np.load(folder / f"{name}.npy") for name in step.reads}}
    started = time.perf_counter()
    made = step.function(arrays)
    seconds = time.perf_counter() - started
    moved = sum(arrays[name].nbytes for name in step.reads) + sum(np.asarray(v).nbytes for v in made.values())
    for name, value in made.items():
        np.save(folder / f"{name}.npy", value)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"step": step.name, "seconds": seconds, "peak_gib": peak_kib / 2**20, "bytes": moved,
            "fourier_pairs": step.fourier_pairs}  # fmt: skip


def run_all(folder: Path, voxel_size_mm: float) -> list[dict[str, Any]]:
    """Simulate a volume and run every step on it, each in a fresh process."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        facts = pool.submit(simulate, folder, voxel_size_mm).result()
    rows = []
    for step in STEPS:
        with ProcessPoolExecutor(1, spawn) as pool:
            rows.append(pool.submit(run_step, step, folder, facts).result())
    return rows


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


def fourier_pair_seconds(shape: tuple[int, int, int]) -> float:
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
    from ChiSepPhantoms import PhantomOptions
    from ChiSepPhantoms import simulate as simulate_patient

    ni, nj, nk = (round(n / voxel_size_mm) for n in MATRIX)
    options = PhantomOptions(voxel_size_mm=(voxel_size_mm,) * 3, fine_mm=voxel_size_mm, shape=(ni, nj, nk), flair=False)
    acquisition = simulate_patient(options).acquisition
    np.save(folder / "magnitude.npy", acquisition.gre_magnitude)
    np.save(folder / "phase.npy", acquisition.gre_phase)
    assert acquisition.spin_echo is not None
    np.save(folder / "se.npy", acquisition.spin_echo.magnitude)
    return {"times": acquisition.scan.echo_times_s, "size": acquisition.grid.voxel_size_mm,
            "b0": acquisition.scan.b0_direction_ijk, "affine": acquisition.grid.affine,
            "se_affine": acquisition.spin_echo.grid.affine, "se_times": acquisition.spin_echo.echo_times_s}  # fmt: skip


def table(rows: list[dict[str, Any]], machine: Mapping[str, float]) -> str:
    """Results as a Markdown table."""
    lines = ["| step | seconds | peak GiB | floor s | times the floor |", "|---|---|---|---|---|"]
    for row in rows:
        floor = row["bytes"] / machine["bytes_per_s"] + row["fourier_pairs"] * machine["fourier_pair_s"]
        lines.append(f"| {row['step']} | {row['seconds']:.2f} | {row['peak_gib']:.2f} | {floor:.2f} "
                     f"| {row['seconds'] / floor:.1f} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Run every step and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxel-size-mm", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run_all(Path(name), _COARSE_MM)
        rows = run_all(Path(name), chosen.voxel_size_mm)
        mask = np.load(Path(name) / "mask.npy")
    machine = {"bytes_per_s": copy_speed_bytes_per_s(), "fourier_pair_s": fourier_pair_seconds(mask.shape)}
    speed, pair = machine["bytes_per_s"] / 1e9, machine["fourier_pair_s"]
    sys.stdout.write(f"matrix {mask.shape}, {int(mask.sum())} mask voxels, ")
    sys.stdout.write(f"copying {speed:.1f} GB/s, one Fourier pair {pair:.2f} s\n\n{table(rows, machine)}\n")
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine, "steps": rows}, indent=2))


if __name__ == "__main__":
    main()
