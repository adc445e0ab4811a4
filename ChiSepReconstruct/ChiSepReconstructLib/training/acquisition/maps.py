"""From a head to the maps that preprocessing would give, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.bgremove.removal import BackgroundOptions, remove_background
from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.fieldmap.combine import CombineOptions, combine_echoes
from ChiSepPreprocessLib.morphology import dilate_mm
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI, larmor_frequency_hz
from ChiSepPreprocessLib.relaxometry.r2star import R2StarOptions, r2star

from ..anatomy.head import Head
from ..anatomy.separable import Axes, Volume, along_axes, mean_weights, noise_on
from .field import field_of, random_background
from .protocol import Protocol
from .signal import echoes, spoiled_signal

Mask = NDArray[np.bool_]

#: Voxels around the brain that are kept.
_MARGIN = 8
#: Axes of the maps, as columns in RAS: to posterior, left to right, inferior to superior along B0.
_AXES_RAS = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_B0 = (0.0, 0.0, 1.0)
_MM = (1.0, 1.0, 1.0)
#: How far around the brain the field may be measured, mm; as the masks of the preprocessing.
_REACH_MM = 4.0
#: Of V-SHARP, about; more cost time and change little.
_SPHERES = 7
#: Between which R2 is taken; most of the decay of tissue lies in between.
_SPIN_ECHO_TIMES_S = (0.015, 0.075)


@dataclass(frozen=True, eq=False)
class Subject:
    """Maps of one simulated scan on the 1 mm grid of the training.

    Parameters
    ----------
    grid : Grid
        Axes to posterior, from left to right and to superior, the last along B0.
    measured : dict of ndarray, shape (I, J, K)
        ``brain_mask``, ``local_field`` (ppm), ``r2star``, ``r2``, ``r2prime`` (1/s), with noise and faults.
    truth : dict of ndarray, shape (I, J, K)
        ``chi_total``, ``chi_para``, ``chi_dia``, ``local_field`` (of what in the mask differs from its mean,
        ppm), ``r2prime`` (1/s).
    """

    grid: Grid
    measured: dict[str, Array]
    truth: dict[str, Volume]


@dataclass(frozen=True, eq=False)
class _Scan:
    """Echoes on the 1 mm grid, echoes last: magnitude, a.u., and unwrapped phase, rad, 0 outside the brain.

    And the true total field in the brain and around it, Hz, 0 where there is none.
    """

    magnitude: Volume
    phase: Volume
    field_hz: Volume


def acquire(head: Head, protocol: Protocol, field_strength_t: float, rng: np.random.Generator,
            report: Reporter) -> Subject:  # fmt: skip
    """Scan a head and make the maps.

    Parameters
    ----------
    head : Head
        On its fine grid.
    protocol : Protocol
        How.
    field_strength_t : float
        T.
    rng : numpy.random.Generator
        Source of randomness.
    report : Reporter
        Progress.

    Returns
    -------
    Subject
        Cropped to the brain's box with a margin.
    """
    i, j, k = (round(len(axis) * head.voxel_size_mm) for axis in head.axes_mm)
    shape = (i, j, k)
    means = [mean_weights(fine, coarse) for fine, coarse in zip(head.brain.shape, shape, strict=True)]
    local = field_of(head.maps["chi_para"] - head.maps["chi_dia"])
    r2prime = true_r2prime(head, protocol.relaxivity_hz_per_ppm)
    sources = {"chi_para": head.maps["chi_para"], "chi_dia": head.maps["chi_dia"], "r2prime": r2prime}
    truth = {name: along_axes(one, means) for name, one in sources.items()}
    truth["chi_total"] = truth["chi_para"] - truth["chi_dia"]
    report("simulation", 0.2, "signal")
    brain = along_axes(head.brain.astype(np.float32), means) > 0.5
    scan = _scan(head, r2prime, local, brain, protocol, larmor_frequency_hz(field_strength_t), rng)
    del local, r2prime
    r2 = _measured_r2(head, means, protocol, rng)
    axes_mm = tuple(np.arange(n) + axis[0] - head.voxel_size_mm / 2 + 0.5 for n, axis in
                    zip(shape, head.axes_mm, strict=True))  # fmt: skip
    report("simulation", 0.5, "maps")
    measured = _measured(scan, brain, r2, axes_mm, protocol, field_strength_t, rng, report.span(0.5, 1))  # type: ignore[arg-type]
    # What lies beyond the mask is background to the field, and so is what a brain of one susceptibility would give.
    inside = measured["brain_mask"]
    truth["local_field"] = field_of((truth["chi_total"] - truth["chi_total"][inside].mean()) * inside)
    return _cropped(measured, truth, axes_mm)  # type: ignore[arg-type]


def true_r2prime(head: Head, relaxivity_hz_per_ppm: float) -> Volume:
    """R2′ = Dr₊ χ_para + Dr₋ χ_dia with the relaxivities of each voxel, 1/s (Shin et al. 2021, eq. 2)."""
    maps = head.maps
    both = maps["relaxivity_para"] * maps["chi_para"] + maps["relaxivity_dia"] * maps["chi_dia"]
    return both * np.float32(relaxivity_hz_per_ppm)


def _scan(head: Head, r2prime: Volume, local: Volume, brain: Mask, protocol: Protocol, frequency_hz: float,
          rng: np.random.Generator) -> _Scan:  # fmt: skip
    """Magnitude and unwrapped phase of every echo, with noise."""
    wide = dilate_mm(head.brain, _REACH_MM, (head.voxel_size_mm,) * 3)
    background, wide = random_background(head.axes_mm, head.brain, wide, rng)
    total_hz = (local + background) * np.float32(frequency_hz / 1e6)
    means = [mean_weights(fine, coarse) for fine, coarse in zip(head.brain.shape, brain.shape, strict=True)]
    share = along_axes(wide.astype(np.float32), means)
    field_hz = along_axes(total_hz * wide, means)
    field_hz = np.divide(field_hz, share, out=np.zeros_like(field_hz), where=(share > 0.99) | brain)
    shape = (*brain.shape, len(protocol.echo_times_s))
    magnitude, phase = np.empty(shape, np.float32), np.zeros(shape, np.float32)
    sigma = 0.0
    rates = head.maps["r2"] + r2prime
    made = echoes(spoiled_signal(head, protocol), rates, total_hz, protocol, brain.shape)
    for echo, (signal, time_s) in enumerate(zip(made, protocol.echo_times_s, strict=True)):
        sigma = sigma or float(np.abs(signal[brain]).mean()) / protocol.snr
        signal += np.float32(sigma) * (rng.standard_normal(brain.shape, np.float32)
                                       + np.complex64(1j) * rng.standard_normal(brain.shape, np.float32))  # fmt: skip
        magnitude[..., echo] = np.abs(signal)
        expected = field_hz[brain] * np.float32(TWO_PI * time_s)
        # Turned back by the phase that is expected, what is left lies within ±π: nothing needs to be unwrapped.
        phase[brain, echo] = np.angle(signal[brain] * np.exp(np.complex64(-1j) * expected)) + expected
    return _Scan(magnitude, phase, field_hz)


def _measured(scan: _Scan, brain: Mask, r2: Volume, axes_mm: Axes, protocol: Protocol, field_strength_t: float,
              rng: np.random.Generator, report: Reporter) -> dict[str, Array]:  # fmt: skip
    """Maps as the project's own preprocessing makes them, in an imperfect mask."""
    mask = imperfect_mask(brain, scan.magnitude[..., -1], axes_mm, rng)
    fit = combine_echoes(scan.phase, scan.magnitude, protocol.echo_times_s, brain, CombineOptions())
    to_ppm = np.float32(1e6 / larmor_frequency_hz(field_strength_t))
    radius_mm = protocol.vsharp_radius_mm
    background = BackgroundOptions(method=protocol.background, vsharp=VSharpOptions(
        maximum_radius_mm=radius_mm, step_mm=max(1.0, radius_mm / _SPHERES)))  # fmt: skip
    around = random_surroundings(mask, axes_mm, rng) & (scan.field_hz != 0)
    known = (mask | around) & (fit.residual_rad <= background.largest_residual_rad)
    total_ppm = np.where(brain, fit.field_hz, _noisy(scan, fit.field_hz, brain, rng)) * to_ppm
    local, valid = remove_background(total_ppm, mask, _MM, _B0, background, report.span(0, 0.6), known=known)
    rate = r2star(scan.magnitude, protocol.echo_times_s, mask, R2StarOptions(method=protocol.rate_fit),
                  field_hz=fit.field_hz, report=report.span(0.6, 1)).rate_per_s  # fmt: skip
    mask = valid
    r2 = r2 * (1 + np.float32(protocol.r2_bias) + np.float32(0.015) * noise_on(axes_mm, 50.0, rng))
    r2 = np.maximum(r2 + np.float32(protocol.r2_noise_per_s) * rng.standard_normal(r2.shape, np.float32), 0)
    maps = {"local_field": local, "r2star": rate, "r2": r2, "r2prime": np.maximum(rate - r2, 0)}
    return {"brain_mask": mask, **{name: (one * mask).astype(np.float32) for name, one in maps.items()}}


def random_surroundings(mask: Mask, axes_mm: Axes, rng: np.random.Generator) -> Mask:
    """Where around the mask the field is measured too: up to 4 mm far, with gaps, as fluid, skin and bone leave it."""
    reach_mm, gaps = rng.uniform(1.0, _REACH_MM), rng.uniform(-1.5, 0.5)
    wide = dilate_mm(mask, reach_mm, _MM)
    return np.asarray(wide & ~mask & (noise_on(axes_mm, 20.0, rng) > gaps))


def _noisy(scan: _Scan, measured_hz: Volume, brain: Mask, rng: np.random.Generator) -> Volume:
    """The field where no signal was simulated, with noise as large as in the brain, Hz."""
    error_hz = np.float32(1.48) * np.median(np.abs(measured_hz - scan.field_hz)[brain])
    return scan.field_hz + error_hz * rng.standard_normal(brain.shape, np.float32)


def _measured_r2(head: Head, means: list[Volume], protocol: Protocol, rng: np.random.Generator) -> Volume:
    """R2 by two spin echoes of whole voxels, of slices twice as thick where the protocol says so, 1/s."""
    from scipy.ndimage import uniform_filter1d

    side = -int(rng.integers(0, 2))
    logarithms = []
    for time_s in _SPIN_ECHO_TIMES_S:
        signal = along_axes(head.maps["proton_density"] * np.exp(np.float32(-time_s) * head.maps["r2"]), means)
        if protocol.r2_blur:
            signal = uniform_filter1d(signal, 2, axis=2, origin=side)
        logarithms.append(np.log(np.maximum(signal, np.float32(1e-6))))
    first_s, second_s = _SPIN_ECHO_TIMES_S
    return np.asarray((logarithms[0] - logarithms[1]) / np.float32(second_s - first_s), np.float32)


def imperfect_mask(brain: Mask, last_magnitude: Volume, axes_mm: Axes, rng: np.random.Generator) -> Mask:
    """Brain mask with an uneven border and holes where the signal of the last echo is gone."""
    from scipy.ndimage import distance_transform_edt, label

    # In from the border by this, mm; below 0 outwards.
    inset_mm = rng.uniform(0, 2.0) + rng.uniform(0, 1.2) * noise_on(axes_mm, 15.0, rng)
    depth_mm = distance_transform_edt(brain) - 0.5
    mask = brain & (depth_mm > inset_mm)
    if rng.random() < 0.6:
        mask &= last_magnitude > rng.uniform(0.02, 0.15) * float(np.median(last_magnitude[brain]))
    pieces, count = label(mask)
    return np.asarray(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1) if count else brain


def _cropped(measured: dict[str, Array], truth: dict[str, Volume], axes_mm: Axes) -> Subject:
    box = bounding_box(np.asarray(measured["brain_mask"], np.bool_), _MARGIN)
    affine = np.eye(4)
    affine[:3, :3] = _AXES_RAS
    affine[:3, 3] = _AXES_RAS @ [axis[span.start] for axis, span in zip(axes_mm, box, strict=True)]
    maps = {name: np.ascontiguousarray(one[box]) for name, one in measured.items()}
    labels = {name: np.ascontiguousarray(one[box] * maps["brain_mask"], np.float32) for name, one in truth.items()}
    return Subject(Grid(maps["brain_mask"].shape, affine), maps, labels)
