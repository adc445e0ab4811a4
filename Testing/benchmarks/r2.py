"""R2 of a multi-echo spin echo (15 to 90 ms) by method: bias over B1 and T2, noise, and speed (simulated).

    .venv/bin/python Testing/benchmarks/r2.py [--voxels 1000000]

Signals come from the phantom's phase graph. In the first two tables the EPG dictionary finds B1 itself: from
each voxel alone without noise, from neighbourhoods with noise, where B1 falls from 1 to 0.8. In the
third the slice has a profile that the fit does, or does not, know; its signals come from the fit's own graph, which
the tests hold against rotating magnetisation vectors.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ChiSepPhantoms.epg import spin_echo_train
from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.relaxometry.epg import SliceProfile, echo_amplitudes, slice_profile
from ChiSepPreprocessLib.relaxometry.r2 import R2Options, r2

SPACING_S, ECHOES = 0.015, 6
TIMES_S = tuple(SPACING_S * n for n in range(1, ECHOES + 1))
T1_S = 1.0
B1 = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
T2_S = (0.020, 0.050, 0.080, 0.120, 0.200)
SIGNAL_TO_NOISE = (20, 30, 50, 70, 100)
METHODS = {
    "EPG dictionary": R2Options(method="epg"),
    "EPG dictionary, B1 voxel by voxel": R2Options(method="epg", b1_smoothing_mm=0.0),
    "mono-exponential": R2Options(method="mono-exponential"),
    "mono-exponential without echo 1": R2Options(skip_first_echo=True),
}
SHAPE, SIZE_MM = (40, 40, 40), (2.0, 2.0, 2.0)


def signals(rates_per_s: Array, b1: Array) -> Array:
    """Echoes last; as images have them, without a sign."""
    train = spin_echo_train(rates_per_s, b1, 1 / T1_S, SPACING_S, ECHOES)
    return np.moveaxis(np.abs(train), 0, -1).astype(np.float32)


def everywhere(magnitude: Array) -> Array:
    """Mask of all voxels."""
    return np.ones(magnitude.shape[:3], dtype=bool)


def bias_table() -> list[str]:
    """Error of R2 in per cent without noise, a row for each method and T2."""
    rates = 1 / np.array(T2_S)[:, None, None]
    magnitude = signals(rates, np.array(B1)[:, None])
    lines = [row("method", "T2, ms", *(f"B1 = {b1:g}" for b1 in B1)), rule(2 + len(B1))]
    for name in list(METHODS)[1:]:
        fit = r2(magnitude, TIMES_S, everywhere(magnitude), METHODS[name])
        percent = 100 * (fit.rate_per_s * np.array(T2_S)[:, None, None] - 1)
        label = name.split(",")[0]
        lines += [
            row(label, f"{1e3 * t2:g}", *(f"{value:+.1f}" for value in values))
            for t2, values in zip(T2_S, percent[..., 0], strict=True)
        ]
    return lines


def noise_table() -> list[str]:
    """Mean and standard deviation of the error of R2 in 1/s at T2 from 50 to 120 ms, a row for each method."""
    generator = np.random.default_rng(3)
    rates = generator.uniform(1 / 0.120, 1 / 0.050, SHAPE)
    b1 = np.broadcast_to(np.linspace(1.0, 0.8, SHAPE[0])[:, None, None], SHAPE)
    clean = signals(rates, b1)
    noise = generator.normal(size=(*clean.shape, 2)) @ np.array([1, 1j])
    lines = [row("method", *(f"SNR {ratio}" for ratio in SIGNAL_TO_NOISE)), rule(1 + len(SIGNAL_TO_NOISE))]
    runs = {**{name: (options, None) for name, options in METHODS.items()},
            "EPG dictionary, B1 given": (METHODS["EPG dictionary"], b1)}  # fmt: skip
    for name, (options, given) in runs.items():
        cells = []
        for ratio in SIGNAL_TO_NOISE:
            magnitude = np.abs(clean + noise / ratio).astype(np.float32)
            fit = r2(magnitude, TIMES_S, everywhere(magnitude), options, voxel_size_mm=SIZE_MM, b1=given)
            error = fit.rate_per_s - rates
            cells.append(f"{error.mean():+.2f} ± {error.std():.2f}")
        lines.append(row(name, *cells))
    return lines


def profile_table() -> list[str]:
    """Error of R2 in per cent at T2 80 ms and B1 0.9 for selective pulses, by what the fit knows of the slice."""
    lines = [row("slice", "refocused over excited width", "mono-exponential", "EPG without the profile",
                 "EPG with it"), rule(5)]  # fmt: skip
    shapes: Sequence[SliceProfile] = ("gaussian", "sinc")
    for shape in shapes:
        for ratio in (1.0, 1.5, 3.0):
            parts = slice_profile(shape, ratio)
            train = echo_amplitudes(12.5, 0.9, [180.0] * ECHOES, SPACING_S, t1_s=T1_S, sub_slices=parts)
            magnitude = np.abs(train).reshape(1, 1, 1, ECHOES).astype(np.float32)
            blind = METHODS["EPG dictionary, B1 voxel by voxel"]
            known = replace(blind, slice_profile=shape, refocusing_slice_ratio=ratio)
            fits = (r2(magnitude, TIMES_S, everywhere(magnitude), options).rate_per_s.item()
                    for options in (METHODS["mono-exponential"], blind, known))  # fmt: skip
            lines.append(row(shape, f"{ratio:g}", *(f"{100 * (rate / 12.5 - 1):+.1f}" for rate in fits)))
    return lines


def speed_table(voxels: int) -> list[str]:
    """Wall and processor seconds, the best of three runs."""
    side = round(voxels ** (1 / 3))
    generator = np.random.default_rng(5)
    shape = (side, side, side)
    tile = signals(generator.uniform(8, 20, (side, side, 1)), np.full((side, side, 1), 0.9))
    magnitude = np.broadcast_to(tile, (*shape, ECHOES)) + generator.normal(0, 0.02, (*shape, ECHOES))
    magnitude = np.abs(magnitude).astype(np.float32)
    lines = [row("method", f"wall s, {side**3} voxels", "processor s"), rule(3)]
    for name, options in METHODS.items():
        spent = []
        for _ in range(3):
            wall, processor = time.perf_counter(), time.process_time()
            r2(magnitude, TIMES_S, everywhere(magnitude), options, voxel_size_mm=(1.0, 1.0, 1.0))
            spent.append((time.perf_counter() - wall, time.process_time() - processor))
        lines.append(row(name, *(f"{seconds:.2f}" for seconds in min(spent))))
    return lines


def row(*cells: str) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def rule(columns: int) -> str:
    """The line under the head of a table."""
    return "|---" * columns + "|"


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, default=1_000_000)
    voxels = parser.parse_args().voxels
    for title, lines in (
        ("Error of R2 without noise, %", bias_table()),
        ("Error of R2 with noise, 1/s (mean ± standard deviation)", noise_table()),
        ("Error of R2 with a slice profile, %", profile_table()),
        ("Time", speed_table(voxels)),
    ):
        sys.stdout.write(f"{title}\n\n" + "\n".join(lines) + "\n\n")


if __name__ == "__main__":
    main()
