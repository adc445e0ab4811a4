"""The χ-sepnet paper's study of voxel sizes on a simulated head: a network on sizes that it was not trained on.

    .venv/bin/python Testing/benchmarks/resolution.py [--weights NAME] [--coarse] [--seed 0] [--shifts 1 2 3]

The true local field and χ at 1 mm are brought to 2×2×2, 1×1×3 and 0.7×0.7×0.7 mm: k-space cropped or padded with zeros,
Tukey's window of 0.2 (Kim et al. 2025, section 2.3). Errors are NRMSE of QSM in per cent, means removed, in the brain
without CSF and vessels. "naive": the voxel size is ignored; "interpolation": cubic B-splines to the trained size and
back; then the network on shifted samplings, with and without dipole compensation; all by the same network, so the row
of the trained size is what can be reached.

Without weights, a Wiener filter that only knows cubes of the trained size stands in for QSMnet_ME. With ``--coarse``
everything is a quarter larger, the training included, for a quick look.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPhantoms import PhantomOptions, simulate
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.networks.resolution import Infer, Vector, Volume, across_resolutions, resampled

_SIZES_MM = ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (1.0, 1.0, 3.0), (0.7, 0.7, 0.7))
_MARGIN_VOXELS = 4


def main() -> None:
    """Simulate a head, print a row for each voxel size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="installed weights with QSMnet_ME; a Wiener filter if left out")
    parser.add_argument("--coarse", action="store_true", help="everything a quarter larger")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shifts", type=int, nargs="+", default=[1, 2, 3], help="samplings along each axis")
    chosen = parser.parse_args()
    scale = 1.25 if chosen.coarse else 1.0
    infer, trained_mm = network(chosen.weights) if chosen.weights else stand_in(scale)
    if min(trained_mm) != scale or max(trained_mm) != scale:
        parser.error(f"this network was trained at {trained_mm} mm, the head has voxels of {scale} mm")
    field, chi, brain, judged = head(chosen.seed, trained_mm)
    ways = ["naive", "interpolation", *(f"{n}³ samplings" for n in chosen.shifts), "the last without compensation"]
    write(["voxel, mm", *ways, "s, naive", "s, last"])
    write(["---"] * (len(ways) + 3))
    for i, j, k in _SIZES_MM:
        target_mm = (i * scale, j * scale, k * scale)
        maps = [resampled(one, trained_mm, target_mm) for one in (field, chi, brain, judged)]
        reached_mm = maps[0][1]
        new_field, new_chi, inside, counted = (one for one, _ in maps)
        new_field = np.where(inside > 0.5, new_field, np.float32(0))
        row = errors(new_field, new_chi, (inside > 0.5) & (counted > 0.5), reached_mm, trained_mm, infer, chosen.shifts)
        write(["×".join(f"{size:.3g}" for size in reached_mm), *row])


def write(cells: list[str]) -> None:
    """One row of Markdown, at once."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def head(seed: int, voxel_mm: Vector) -> tuple[NDArray[Any], ...]:
    """True local field and χ (ppm) in the brain's box, the brain, and what of it counts; B0 along the third axis."""
    options = PhantomOptions(seed=seed, voxel_size_mm=voxel_mm, fine_mm=min(voxel_mm) / 2, spin_echo=False, flair=False)
    truth = simulate(options).truth
    brain = truth.array("brain_mask")
    judged = brain & ~truth.array("csf_mask") & ~truth.array("vessel_mask_para")
    arrays = (truth.array("local_field"), truth.array("chi_total"), brain, judged)
    return tuple(one[bounding_box(brain, _MARGIN_VOXELS)].astype(np.float32) for one in arrays)


def errors(
    field: Volume, chi: Volume, judged: NDArray[np.bool_], voxel_mm: Vector, trained_mm: Vector, infer: Infer,
    shifts: list[int],
) -> list[str]:  # fmt: skip
    """NRMSE of each way, and seconds of the first and last but one."""

    def run(count: int, compensate: bool) -> Callable[[], Volume]:
        return lambda: across_resolutions(field, voxel_mm, trained_mm, infer, shifts=count, compensate=compensate)

    ways = [lambda: infer(field, Reporter()), lambda: interpolated(field, voxel_mm, trained_mm, infer),
            *(run(count, True) for count in shifts), run(shifts[-1], False)]  # fmt: skip
    found, seconds = [], []
    for way in ways:
        started = time.perf_counter()
        estimate = way()
        seconds.append(time.perf_counter() - started)
        found.append(nrmse_percent(estimate[judged], chi[judged]))
    return [*(f"{one:.1f}" for one in found), f"{seconds[0]:.1f}", f"{seconds[-2]:.1f}"]


def nrmse_percent(estimate: Volume, truth: Volume) -> float:
    """Without the means, which no field tells."""
    estimate, truth = estimate - estimate.mean(), truth - truth.mean()
    return float(100 * np.linalg.norm(estimate - truth) / np.linalg.norm(truth))


def interpolated(field: Volume, voxel_mm: Vector, trained_mm: Vector, infer: Infer) -> Volume:
    """Cubic B-splines to the trained voxel size and back, 0 outside the brain."""
    from scipy.ndimage import zoom

    there = np.divide(voxel_mm, trained_mm)
    inside = zoom((field != 0).astype(np.float32), there, order=1, grid_mode=True, mode="grid-constant") > 0.5
    chi = infer(zoom(field, there, order=3, grid_mode=True, mode="grid-constant") * inside, Reporter())
    return np.asarray(
        zoom(chi, np.divide(field.shape, chi.shape), order=3, grid_mode=True, mode="grid-constant"), dtype=np.float32
    )


def stand_in(size_mm: float) -> tuple[Infer, Vector]:
    """Wiener filter for sources as smooth as a head's; in voxels, so that it takes any for a cube of ``size_mm``."""
    from scipy import fft

    def infer(field: Volume, report: Reporter) -> Volume:
        shape = [fft.next_fast_len(round(1.25 * n), real=True) for n in field.shape]
        axes = [np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2])]
        square = sum(k.astype(np.float32) ** 2 for k in np.meshgrid(*axes, indexing="ij", sparse=True))
        noise = np.float32(1e-3) * (1 + square / np.float32(0.08) ** 2) ** 2
        dipole = dipole_kernel(shape, (1.0, 1.0, 1.0), (0.0, 0.0, 1.0))
        spectrum = fft.rfftn(field, shape, workers=-1) * (dipole / (dipole**2 + noise))
        i, j, k = field.shape
        return np.asarray(fft.irfftn(spectrum, shape, workers=-1)[:i, :j, :k]) * (field != 0)

    return infer, (size_mm, size_mm, size_mm)


def network(name: str) -> tuple[Infer, Vector]:
    """QSMnet_ME of installed weights, and the voxel size of its training."""
    from ChiSepReconstructLib.networks.engine import Engine
    from ChiSepReconstructLib.networks.inversion import inverted
    from ChiSepReconstructLib.networks.weights.store import find

    weights, engine = find(name), Engine()
    qsmnet, inputs, scales = weights.network("qsmnet"), weights.file("qsmnet").inputs, weights.normalisation

    def infer(field: Volume, report: Reporter) -> Volume:
        return inverted(engine, qsmnet, inputs, scales, field, field != 0, weights.voxel_size_mm, report)

    return infer, weights.voxel_size_mm


if __name__ == "__main__":
    main()
