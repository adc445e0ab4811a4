"""R2* by every method, and by plain implementations of what other programs do (simulated).

    .venv/bin/python Testing/benchmarks/r2star.py [--voxels 20000] [--voxel-size-mm 1.4] [--snr 70]

First bias and spread on single decays with Rician noise, then the error on a simulated head, with the true
brain mask and the true total field, so that nothing but R2* is measured.

Written here from their published descriptions for comparison, not code of those programs:
``plain log-linear``, the unweighted line through the logarithm; ``area``, the ratio of the signal's change to the
area under it by trapezoids (the family of numerical integration, Hagberg 2002); ``mean ratio``, −ln of the mean
ratio of neighbouring echoes over the spacing; ``ARLO, S² for d²``, the closed form with one sum mistaken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ChiSepPhantoms import Phantom, PhantomOptions, simulate
from ChiSepPreprocessLib.quantities import ppm_to_hz
from ChiSepPreprocessLib.relaxometry.r2star import R2StarOptions, r2star

Array = NDArray[np.floating]
Fit = Callable[[Array, Array], Array]

ECHO_TIMES_S = PhantomOptions().echo_times_s
RATES_PER_S = (10.0, 20.0, 40.0, 80.0, 150.0)
RATIOS = (20.0, 40.0, 70.0, 100.0)
MAXIMUM_PER_S = 500.0

OURS = {
    "log-linear, weighted": R2StarOptions(method="loglinear"),
    "ARLO": R2StarOptions(method="arlo"),
    "least squares": R2StarOptions(method="nlls", smoothing_s2=0.0),
    "maximum likelihood": R2StarOptions(method="ml", smoothing_s2=0.0),
}


def plain_log_linear(samples: Array, times: Array) -> Array:
    """Unweighted line through the logarithm."""
    centred = times - times.mean()
    return -(np.log(np.maximum(samples, 1e-9)) @ centred) / (centred @ centred)


def area(samples: Array, times: Array) -> Array:
    """Change of the signal over the area under it, by trapezoids."""
    below = np.sum((samples[:, 1:] + samples[:, :-1]) / 2 * np.diff(times), axis=1)
    return (samples[:, 0] - samples[:, -1]) / below


def mean_ratio(samples: Array, times: Array) -> Array:
    """−ln of the mean ratio of neighbouring echoes, over the mean spacing."""
    ratio = np.mean(samples[:, 1:] / np.maximum(samples[:, :-1], 1e-9), axis=1)
    return -np.log(ratio) / np.mean(np.diff(times))


def mistaken_arlo(samples: Array, times: Array) -> Array:
    """ARLO for even echoes with Σ S² where Σ d² belongs."""
    third = float(np.mean(np.diff(times))) / 3
    integral = third * (samples[:, :-2] + 4 * samples[:, 1:-1] + samples[:, 2:])
    drop = samples[:, :-2] - samples[:, 2:]
    both, square = np.sum(integral * drop, axis=1), np.sum(integral**2, axis=1)
    return (both + third * square) / (square + third * both)


OTHERS: dict[str, Fit] = {
    "plain log-linear": plain_log_linear,
    "area": area,
    "mean ratio": mean_ratio,
    "ARLO, S² for d²": mistaken_arlo,
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, default=20_000)
    parser.add_argument("--voxel-size-mm", type=float, default=1.4)
    parser.add_argument("--snr", type=float, default=70.0)
    chosen = parser.parse_args()
    sys.stdout.write(single_decays(chosen.voxels) + "\n" + head(chosen.voxel_size_mm, chosen.snr))


def single_decays(voxels: int) -> str:
    """Median bias and robust spread for every signal-to-noise ratio at time zero, as Markdown."""
    columns = " | ".join(f"{rate:g} 1/s" for rate in RATES_PER_S)
    lines = [f"| SNR | method | {columns} |", "|---" * (len(RATES_PER_S) + 2) + "|"]
    for ratio in RATIOS:
        rows: dict[str, list[str]] = {}
        for rate in RATES_PER_S:
            samples = rician(rate, ratio, voxels)
            for name, found in every_fit(samples).items():
                low, middle, high = np.percentile(found, (15.9, 50, 84.1))
                rows.setdefault(name, []).append(f"{middle - rate:+.1f} ± {(high - low) / 2:.1f}")
        lines += [f"| {ratio:g} | {name} | " + " | ".join(row) + " |" for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def rician(rate_per_s: float, ratio: float, count: int) -> Array:
    """Magnitudes (N, E) of amplitude 1 with complex Gaussian noise of 1/ratio in each channel."""
    generator = np.random.default_rng(3)
    noise = generator.normal(0, 1 / ratio, (count, len(ECHO_TIMES_S), 2)) @ np.array([1, 1j])
    return np.abs(np.exp(-rate_per_s * np.array(ECHO_TIMES_S)) + noise).astype(np.float32)


def every_fit(samples: Array) -> dict[str, Array]:
    """Clamped rates of each method."""
    times = np.array(ECHO_TIMES_S)
    found = {name: clamped(fit(samples, times)) for name, fit in OTHERS.items()}
    volume, mask = samples[:, None, None], np.ones((len(samples), 1, 1), dtype=bool)
    for name, options in OURS.items():
        found[name] = r2star(volume, ECHO_TIMES_S, mask, options).rate_per_s.ravel()
    return found


def clamped(rate: Array) -> Array:
    """Rates in the range that all methods share."""
    return np.clip(np.nan_to_num(rate, posinf=MAXIMUM_PER_S), 0, MAXIMUM_PER_S)


def head(voxel_size_mm: float, snr: float) -> str:
    """NRMSE in the brain without CSF and vessels on an oblique head with air spaces, as Markdown."""
    patient = simulate(PhantomOptions(
        voxel_size_mm=(voxel_size_mm,) * 3, fine_mm=voxel_size_mm / 2, tilt_deg=(12.0, -5.0, 3.0), snr=snr,
        spin_echo=False, flair=False,
    ))  # fmt: skip
    lines = ["| method | NRMSE, % |", "|---|---|"]
    lines += [f"| {name} | {error:.1f} |" for name, error in head_errors(patient).items()]
    return "\n".join(lines) + "\n"


def head_errors(patient: Phantom) -> dict[str, float]:
    """NRMSE of every method, per cent."""
    truth, acquisition = patient.truth, patient.acquisition
    brain, times = truth.array("brain_mask"), acquisition.scan.echo_times_s
    inside = (brain & ~truth.array("csf_mask") & ~truth.array("vessel_mask_para"))[brain]
    true = truth.array("r2star")[brain]
    field_hz = ppm_to_hz(truth.array("total_field"), acquisition.scan.reference_frequency_hz)
    samples = acquisition.gre_magnitude[brain]
    found = {name: clamped(fit(samples, np.array(times))) for name, fit in OTHERS.items()}
    likelihood = OURS["maximum likelihood"]
    for name, options, field in (
        *((name, options, None) for name, options in OURS.items()),
        ("maximum likelihood, field slope", likelihood, field_hz),
        ("maximum likelihood, field slope, smoothing (the default)", R2StarOptions(), field_hz),
        ("the same, twice the smoothing", replace(R2StarOptions(), smoothing_s2=0.1), field_hz),
    ):
        fit = r2star(acquisition.gre_magnitude, times, brain, options, field_hz=field,
                     voxel_size_mm=acquisition.grid.voxel_size_mm)  # fmt: skip
        found[name] = fit.rate_per_s[brain]
    scale = 100 / float(np.linalg.norm(true[inside]))
    return {name: scale * float(np.linalg.norm((rate - true)[inside])) for name, rate in found.items()}


if __name__ == "__main__":
    main()
