"""Masks, unwrapping and whole chains side by side, ours and others', on one simulated head.

    .venv/bin/python Testing/benchmarks/side_by_side.py [--voxel-size-mm 1.4] [--snr 20 40 70 100]

The first table compares masks with the true brain. In the second, phase follows from the true field alone, or with the
noise of an SNR of 70, so that its true turns are known: a voxel of the true brain is wrong if it is, but for a constant
of each echo, more than half a turn off. There is no phase offset, which unwrapping in time relies on. The third runs
the whole chain by both presets; the first of its rows includes loading.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ChiSepPhantoms import Phantom, PhantomOptions, simulate
from ChiSepPhantoms.signals import with_noise
from ChiSepPreprocessLib.artifacts import Acquisition, Array
from ChiSepPreprocessLib.geometry.resampling import to_itk
from ChiSepPreprocessLib.masking.bet import brain_mask
from ChiSepPreprocessLib.masking.mask import make_brain_mask
from ChiSepPreprocessLib.morphology import close_mm, largest_component
from ChiSepPreprocessLib.pipeline import PRESETS, combined_magnitude, preprocess
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI, ppm_to_hz
from ChiSepPreprocessLib.unwrap import laplacian, romeo
from ChiSepReconstructLib.evaluation.metrics import nrmse

NOISE_FREE_SNR = 1e6
SNR = 70.0
CLOSING_MM = 4.0
_LONG_S = 20.0
Mask = Callable[[Acquisition], Array]
Unwrap = Callable[[Array, Array, Array, Acquisition], Array]


def our_mask(scan: Acquisition) -> Array:
    """BET and phase quality, the default."""
    return make_brain_mask(scan.gre_magnitude, scan.gre_phase, scan.scan.echo_times_s, scan.grid.voxel_size_mm,
                           superior_axis_ijk=scan.grid.b0_direction_ijk)  # fmt: skip


def our_bet(scan: Acquisition) -> Array:
    """BET alone."""
    return brain_mask(combined_magnitude(scan.gre_magnitude), scan.grid.voxel_size_mm,
                      superior_axis_ijk=scan.grid.b0_direction_ijk)  # fmt: skip


def dipy_median_otsu(scan: Acquisition) -> Array:
    """Median filter and Otsu's threshold, DIPY's defaults."""
    from dipy.segment.mask import median_otsu

    return np.asarray(median_otsu(combined_magnitude(scan.gre_magnitude))[1], dtype=bool)


def otsu(scan: Acquisition) -> Array:
    """Otsu's threshold by SimpleITK, largest component, closing."""
    import SimpleITK as sitk  # noqa: N813

    image = to_itk(combined_magnitude(scan.gre_magnitude), scan.grid)
    bright = sitk.GetArrayFromImage(sitk.OtsuThreshold(image, 0, 1)).T.astype(bool)
    return close_mm(largest_component(bright), CLOSING_MM, scan.grid.voxel_size_mm)


def by_romeo(phase: Array, magnitude: Array, brain: Array, scan: Acquisition) -> Array:
    """All echoes, the first in space, the others in time."""
    return romeo.unwrap(phase, magnitude, scan.scan.echo_times_s, brain, romeo.RomeoOptions(), Reporter())


def by_romeo_each(phase: Array, magnitude: Array, brain: Array, scan: Acquisition) -> Array:
    """Every echo in space."""
    options = romeo.RomeoOptions(individual=True)
    return romeo.unwrap(phase, magnitude, scan.scan.echo_times_s, brain, options, Reporter())


def by_scikit_image(phase: Array, magnitude: Array, brain: Array, scan: Acquisition) -> Array:
    """Every echo in space, sorted by reliability (Herráez et al. 2002; Abdul-Rahman et al. 2007)."""
    from skimage.restoration import unwrap_phase

    found = np.zeros_like(phase)
    for echo in range(phase.shape[3]):
        unwrapped = unwrap_phase(np.ma.masked_array(phase[..., echo], ~brain), rng=0)
        found[..., echo] = np.where(brain, unwrapped.data, 0)
    return found


def by_laplacian(phase: Array, magnitude: Array, brain: Array, scan: Acquisition) -> Array:
    """Not meant to be exact: a harmonic error remains."""
    return laplacian.unwrap(phase, scan.scan.echo_times_s, brain, scan.grid.voxel_size_mm,
                            laplacian.LaplacianOptions(), Reporter())  # fmt: skip


MASKS: dict[str, Mask] = {
    "BET + phase quality (the default)": our_mask,
    "BET": our_bet,
    "DIPY `median_otsu`": dipy_median_otsu,
    "SimpleITK Otsu, largest component, closing": otsu,
}
UNWRAPPING: dict[str, Unwrap] = {
    "ROMEO (the default)": by_romeo,
    "ROMEO, each echo in space": by_romeo_each,
    "scikit-image `unwrap_phase`, each echo": by_scikit_image,
    "Laplacian (declared inexact)": by_laplacian,
}


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxel-size-mm", type=float, default=1.4)
    parser.add_argument("--snr", type=float, nargs="+", default=[20.0, 40.0, 70.0, 100.0])
    chosen = parser.parse_args()
    size = chosen.voxel_size_mm
    clean = simulate(PhantomOptions(voxel_size_mm=(size,) * 3, fine_mm=size / 2, tilt_deg=(12.0, -5.0, 3.0),
                                    snr=NOISE_FREE_SNR, spin_echo=False, flair=False))  # fmt: skip
    for title, table in (
        (f"Masks, SNR {SNR:g}", mask_table(clean)),
        ("Unwrapping of 6 echoes", unwrapping_table(clean)),
        ("The whole chain", chain_table(clean, chosen.snr)),
    ):
        sys.stdout.write(f"{title}:\n\n{table}\n\n")


def at_snr(clean: Phantom, snr: float) -> Acquisition:
    """The same head, scanned with noise."""
    scan, brain = clean.acquisition, clean.truth.array("brain_mask")
    signal = scan.gre_magnitude * np.exp(1j * scan.gre_phase)
    noisy = with_noise(signal, brain, snr, np.random.default_rng(7))
    return replace(scan, gre_magnitude=np.abs(noisy), gre_phase=np.angle(noisy))


def timed(function: Callable[[], Array]) -> tuple[Array, float]:
    """Result and seconds; of a second call if the first one was so short that loading counts."""
    started = time.perf_counter()
    found = function()
    first = time.perf_counter() - started
    if first > _LONG_S:
        return found, first
    started = time.perf_counter()
    return function(), time.perf_counter() - started


def mask_table(clean: Phantom) -> str:
    """Dice coefficients, shares of the brain that are missed and volumes that are not brain."""
    brain, scan = clean.truth.array("brain_mask"), at_snr(clean, SNR)
    lines = ["| mask | Dice | brain missed, % | beyond the brain, % of its volume | seconds |", "|---" * 5 + "|"]
    for name, make in MASKS.items():
        mask, seconds = timed(partial(make, scan))
        both, volume = np.count_nonzero(mask & brain), np.count_nonzero(brain)
        beyond = np.count_nonzero(mask) - both
        dice = 2 * both / (np.count_nonzero(mask) + volume)
        lines.append(f"| {name} | {dice:.3f} | {100 - 100 * both / volume:.1f} | {100 * beyond / volume:.1f} "
                     f"| {seconds:.1f} |")  # fmt: skip
    return "\n".join(lines)


def unwrapping_table(clean: Phantom) -> str:
    """Number of voxels on a wrong turn, over all echoes and in the last one."""
    truth, scan = clean.truth, clean.acquisition
    brain = truth.array("brain_mask")
    field_hz = ppm_to_hz(truth.array("total_field"), scan.scan.reference_frequency_hz)
    true = (np.float32(TWO_PI) * field_hz[..., None] * np.asarray(scan.scan.echo_times_s)).astype(np.float32)
    signal = (scan.gre_magnitude * np.exp(1j * true)).astype(np.complex64)
    lines = [f"| {np.count_nonzero(brain)} voxels × {true.shape[3]} echoes | wrong, noise-free | in the last echo "
             f"| wrong, SNR {SNR:g} | in the last echo | seconds |", "|---" * 6 + "|"]  # fmt: skip
    noisy = with_noise(signal, brain, SNR, np.random.default_rng(7))
    for name, method in UNWRAPPING.items():
        counts: list[int] = []
        for complex_image in (signal, noisy):
            phase, magnitude = np.angle(complex_image), np.abs(complex_image)
            found, seconds = timed(partial(method, phase, magnitude, brain, scan))
            wrong = wrong_voxels(found, unwrapped_truth(phase, true), brain)
            counts += [int(wrong.sum()), int(wrong[-1])]
        lines.append(f"| {name} | " + " | ".join(map(str, counts)) + f" | {seconds:.2f} |")
    return "\n".join(lines)


def unwrapped_truth(phase: Array, true: Array) -> Array:
    """Measured phase on the turn that lies nearest the true one."""
    return phase + np.float32(TWO_PI) * np.rint((true - phase) / TWO_PI).astype(np.float32)


def wrong_voxels(found: Array, right: Array, brain: Array) -> Array:
    """Number of voxels of each echo that are more than half a turn off, less a constant of the echo."""
    off = (found - right)[brain]
    return np.count_nonzero(np.abs(off - np.median(off, axis=0)) > np.pi, axis=0)


def chain_table(clean: Phantom, ratios: Sequence[float]) -> str:
    """NRMSE of the local field and of R2* in the brain without CSF and vessels, where each chain gives them."""
    truth = clean.truth
    brain = truth.array("brain_mask")
    tissue = brain & ~truth.array("csf_mask") & ~truth.array("vessel_mask_para")
    lines = ["| preset | SNR | local field, NRMSE % | brain with a local field, % | R2*, NRMSE % | seconds |",
             "|---" * 6 + "|"]  # fmt: skip
    for name, options in PRESETS.items():
        for ratio in ratios:
            scan = at_snr(clean, ratio)
            started = time.perf_counter()
            maps = preprocess(scan, options=options)
            seconds = time.perf_counter() - started
            valid, mask = maps.array("field_mask"), maps.array("brain_mask")
            local = nrmse(maps.array("local_field"), truth.array("local_field"), tissue & valid)
            decay = nrmse(maps.array("r2star"), truth.array("r2star"), tissue & mask)
            kept = 100 * np.count_nonzero(valid & brain) / np.count_nonzero(brain)
            lines.append(f"| {name} | {ratio:g} | {local:.1f} | {kept:.0f} | {decay:.1f} | {seconds:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
