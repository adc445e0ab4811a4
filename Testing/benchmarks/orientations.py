"""Time, memory and error of the methods that take several orientations, on a brain of full size.

    .venv/bin/python Testing/benchmarks/orientations.py [--size 151 187 147] [--orientations 3] [--noise-ppm 0.002]

χ are blocks with texture in an ellipsoid; fields are made by an own dipole on a grid of twice the size, so neither the
padding nor the code is the solvers', but voxels are as large. Time and memory are what this is for.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import scipy.fft
from methods import alone, peak_gib, timed, watched_transforms
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepReconstructLib.pipeline import reconstruct

Volume = NDArray[np.float32]
_METHODS = ("cosmos", "chi-sep-cosmos")
_RELAXIVITY_HZ_PER_PPM = 114.0 * 3.0 / 2.893


def main() -> None:
    """Run each method in a process of its own, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=3, type=int, default=[151, 187, 147])
    parser.add_argument("--orientations", type=int, default=3)
    parser.add_argument("--noise-ppm", type=float, default=0.002)
    chosen = parser.parse_args()
    lines = ["| method | NRMSE, % | s, first call | s | FFTs | peak GiB |", "|---|---|---|---|---|---|"]
    lines += [f"| {name} | {alone(measure, name, chosen)} |" for name in _METHODS]
    sys.stdout.write("\n".join(lines) + "\n")


def measure(name: str, chosen: argparse.Namespace) -> str:
    """One method's cells."""
    maps, sources, mask = examination(tuple(chosen.size), chosen.orientations, chosen.noise_ppm)
    options = {"relaxivity": "kim2025"} if name == "chi-sep-cosmos" else {}

    def call() -> MapSet:
        return reconstruct(maps[0], method=name, options=options, orientations=maps[1:])

    first, found = timed(call)
    with watched_transforms() as transforms:
        seconds, _ = timed(call)
    truth = {"chi_total": sources[0] - sources[1]}
    if name == "chi-sep-cosmos":
        truth = {"chi_para": sources[0], "chi_dia": sources[1]}
    errors = []
    for artifact, true in truth.items():
        difference = (found.array(artifact) - true)[mask]
        wanted = true[mask]
        if artifact == "chi_total":  # known up to a constant
            difference, wanted = difference - difference.mean(), wanted - wanted.mean()
        errors.append(f"{100 * np.linalg.norm(difference) / np.linalg.norm(wanted):.1f}")
    return f"{' / '.join(errors)} | {first:.1f} | {seconds:.1f} | {len(transforms)} | {peak_gib():.2f}"


def examination(
    shape: tuple[int, int, int], count: int, noise_ppm: float
) -> tuple[list[MapSet], tuple[Volume, Volume], NDArray[np.bool_]]:
    """Maps of each orientation, both sources, the brain."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij", sparse=True)
    mask = np.asarray(sum(axis**2 for axis in axes) < 1)
    para, dia = ((_blocks(shape, rng) * mask).astype(np.float32) for _ in range(2))
    grid = Grid(shape, np.eye(4))
    rate = _RELAXIVITY_HZ_PER_PPM * (para + dia)
    turns = [0.0, *np.linspace(20.0, 45.0, count - 1)]
    maps = []
    for number, turn in enumerate(np.deg2rad(turns)):
        side = 2.4 * number
        b0 = (np.sin(turn) * np.cos(side), np.sin(turn) * np.sin(side), np.cos(turn))
        field = _field(para - dia, b0) + noise_ppm * rng.standard_normal(shape)
        data = {"local_field": (field * mask).astype(np.float32), "r2prime": rate, "brain_mask": mask,
                "magnitude": mask.astype(np.float32)}  # fmt: skip
        scan = ScanParameters(echo_times_s=(0.005, 0.01), field_strength_t=3.0, b0_direction_ijk=b0)
        maps.append(MapSet(grid, scan, {key: Map(name=key, data=one, grid=grid) for key, one in data.items()}))
    return maps, (para, dia), mask


def _blocks(shape: tuple[int, int, int], rng: np.random.Generator) -> Volume:
    """Blocks of 12 voxels with texture, 0 to 0.12 ppm."""
    small = tuple(-(-n // 12) for n in shape)
    blocks = np.kron(rng.random(small), np.ones((12, 12, 12)))[: shape[0], : shape[1], : shape[2]]
    return (0.1 * blocks + 0.02 * rng.random(shape)).astype(np.float32)


def _field(chi: Volume, b0: tuple[float, float, float]) -> Volume:
    """Field in ppm of χ in ppm, by D = 1/3 − (k·b)²/k² on a grid of twice the size."""
    shape = tuple(scipy.fft.next_fast_len(2 * n, real=True) for n in chi.shape)
    k = np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2]), indexing="ij",
                    sparse=True)  # fmt: skip
    along = sum(part * direction for part, direction in zip(k, b0, strict=True))
    square = sum(part**2 for part in k)
    kernel = 1 / 3 - np.divide(along**2, square, out=np.full(square.shape, 1 / 3), where=square > 0)
    spectrum = scipy.fft.rfftn(chi, shape, workers=2) * kernel.astype(np.float32)
    field: Volume = scipy.fft.irfftn(spectrum, shape, workers=2)[: chi.shape[0], : chi.shape[1], : chi.shape[2]]
    return field


if __name__ == "__main__":
    main()
