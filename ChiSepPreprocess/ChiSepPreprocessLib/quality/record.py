"""The record of quality: what was measured and computed, in numbers that are ready for JSON, and in warnings.

Numbers come from the acquisition and the maps themselves; those that only a step knows come from its map's options:

=============================================  ====================================================================
``field_sigma.options``                        ``noise_sigma``: noise of the real or imaginary part, a.u.
``r2star.options``, ``r2.options``             ``clamped_fraction``: share of the brain that was out of range
``r2.options["registration"]``                 ``score``, ``translation_mm``, ``rotation_deg``, ``overlap``,
                                               ``mutual_information_before``, ``mutual_information_after`` (nats)
``r2prime.options``                            ``negative_fraction``
=============================================  ====================================================================

What is not available is ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..artifacts import Acquisition, Array, Map, MapSet
from ..errors import InputError
from ..quantities import ppm_to_hz
from .limits import broken
from .measures import jump_fraction, noise_from_phase, phase_residuals


@dataclass(frozen=True, kw_only=True)
class EchoQuality:
    """One gradient echo: ranges over the image, median signal and |phase residual| (rad) over the brain."""

    number: int
    time_ms: float
    magnitude_range: tuple[float, float]
    phase_range_rad: tuple[float, float]
    signal: float
    phase_residual_rad: float | None


@dataclass(frozen=True, kw_only=True)
class ReadingQuality:
    """How the phase was read, from the acquisition's source; ``None`` where that does not say."""

    vendor: str | None
    phase_scaling: str | None
    phase_sign: str | None
    slice_alternation_rad: float | None
    slice_alternation_corrected: bool | None


@dataclass(frozen=True, kw_only=True)
class GeometryQuality:
    """Grid and field; the tilt is the angle between B0 and the nearest voxel axis."""

    shape: tuple[int, int, int]
    voxel_size_mm: tuple[float, float, float]
    field_strength_t: float
    b0_direction_ijk: tuple[float, float, float]
    b0_tilt_deg: float
    echo_spacing_ms: float | None
    echo_spacing_deviation_ms: float | None


@dataclass(frozen=True, kw_only=True)
class SignalQuality:
    """Noise of the real or imaginary part (a.u.), and signal over noise in first and last echo."""

    noise: float | None
    first_echo_snr: float | None
    last_echo_snr: float | None


@dataclass(frozen=True, kw_only=True)
class MaskQuality:
    """Brain mask, and the share of it where the local field is valid."""

    volume_ml: float
    valid_fraction: float | None


@dataclass(frozen=True, kw_only=True)
class FieldQuality:
    """Total and local field; see :mod:`.measures`.

    ``phase_residual_rad`` is the largest of the echoes'; ``noise_ppm`` and ``local_field_ppm`` are medians of the total
    field's expected error and of the local field's size.
    """

    phase_residual_rad: float | None
    jump_fraction: float | None
    noise_ppm: float | None
    local_field_ppm: float | None


@dataclass(frozen=True, kw_only=True)
class RelaxationQuality:
    """Medians over the brain (1/s), what made R2′, and shares of the brain that were clamped or negative."""

    r2star_per_s: float | None
    r2_per_s: float | None
    r2prime_per_s: float | None
    r2prime_method: str | None
    r2star_clamped_fraction: float | None
    r2_clamped_fraction: float | None
    negative_r2prime_fraction: float | None


@dataclass(frozen=True, kw_only=True)
class RegistrationQuality:
    """Spin echo on the gradient echo: motion that was found, and what of the brain is covered."""

    translation_mm: float | None
    rotation_deg: float | None
    overlap_fraction: float | None
    mutual_information_gain: float | None
    spin_echo_coverage: float | None


@dataclass(frozen=True, kw_only=True)
class QualityRecord:
    """Everything that tells whether the maps can be trusted; ``dataclasses.asdict`` makes it JSON-ready.

    ``warnings`` follow from the numbers by :data:`~.limits.LIMITS`; ``reported`` is what loading and the steps said.
    """

    reading: ReadingQuality
    geometry: GeometryQuality
    echoes: tuple[EchoQuality, ...]
    signal: SignalQuality
    mask: MaskQuality
    field: FieldQuality
    relaxation: RelaxationQuality
    registration: RegistrationQuality
    warnings: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()


def quality_record(acquisition: Acquisition, maps: MapSet) -> QualityRecord:
    """Judge an acquisition and the maps made of it.

    Parameters
    ----------
    acquisition : Acquisition
        What was measured.
    maps : MapSet
        With ``brain_mask``; of the others, what there is.

    Raises
    ------
    InputError
        If the brain mask is missing, empty, or on another grid.
    """
    mask = maps.array("brain_mask")
    if not maps.grid.matches(acquisition.grid) or not mask.any():
        raise InputError("maps", "another grid, or an empty brain mask", "maps of this acquisition")
    magnitude = acquisition.gre_magnitude[mask]
    residuals = _residuals(acquisition, maps, mask)
    spoken = [text for one in maps.values() for text in one.warnings]
    numbers = QualityRecord(
        reading=_reading(acquisition.source),
        geometry=_geometry(acquisition),
        echoes=_echoes(acquisition, magnitude, residuals),
        signal=_signal(acquisition, maps, magnitude, residuals),
        mask=_mask(maps, mask),
        field=_field(acquisition, maps, mask, residuals),
        relaxation=_relaxation(maps, mask),
        registration=_registration(acquisition, maps, mask),
        reported=tuple(dict.fromkeys((*acquisition.warnings, *spoken))),
    )
    return replace(numbers, warnings=tuple(limit.words(numbers) for limit in broken(numbers) if not limit.said_by_step))


def _residuals(acquisition: Acquisition, maps: MapSet, mask: Array) -> Array | None:
    """Phase residuals of the N voxels inside, (N, E) rad; none without a total field or with one echo."""
    times = acquisition.scan.echo_times_s
    if "total_field" not in maps or len(times) < 2:
        return None
    field_hz = ppm_to_hz(maps.array("total_field"), acquisition.scan.reference_frequency_hz)
    return phase_residuals(acquisition.gre_phase, acquisition.gre_magnitude, times, field_hz, mask,
                           acquisition.grid.voxel_size_mm)  # fmt: skip


def _reading(source: Mapping[str, Any]) -> ReadingQuality:
    alternation = source.get("slice_alternation") or {}
    return ReadingQuality(
        vendor=source.get("vendor"),
        phase_scaling=source.get("phase_scaling"),
        phase_sign=source.get("phase_sign_rule") or source.get("phase_sign"),
        slice_alternation_rad=alternation.get("angle_rad"),
        slice_alternation_corrected=alternation.get("corrected"),
    )


def _geometry(acquisition: Acquisition) -> GeometryQuality:
    scan, grid = acquisition.scan, acquisition.grid
    spacings_ms = 1e3 * np.diff(scan.echo_times_s)
    mean_ms = float(spacings_ms.mean()) if spacings_ms.size else None
    return GeometryQuality(
        shape=grid.shape,
        voxel_size_mm=grid.voxel_size_mm,
        field_strength_t=scan.field_strength_t,
        b0_direction_ijk=scan.b0_direction_ijk,
        b0_tilt_deg=float(np.degrees(np.arccos(min(1.0, np.abs(scan.b0_direction_ijk).max())))),
        echo_spacing_ms=mean_ms,
        echo_spacing_deviation_ms=None if mean_ms is None else float(np.abs(spacings_ms - mean_ms).max()),
    )


def _echoes(acquisition: Acquisition, magnitude: Array, residuals: Array | None) -> tuple[EchoQuality, ...]:
    return tuple(
        EchoQuality(
            number=echo + 1,
            time_ms=1e3 * time_s,
            magnitude_range=_range(acquisition.gre_magnitude[..., echo]),
            phase_range_rad=_range(acquisition.gre_phase[..., echo]),
            signal=float(np.median(magnitude[:, echo])),
            phase_residual_rad=None if residuals is None else float(np.median(np.abs(residuals[:, echo]))),
        )
        for echo, time_s in enumerate(acquisition.scan.echo_times_s)
    )


def _range(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _signal(acquisition: Acquisition, maps: MapSet, magnitude: Array, residuals: Array | None) -> SignalQuality:
    noise = _option(maps.get("field_sigma"), "noise_sigma")
    if noise is None and residuals is not None:
        noise = noise_from_phase(residuals, magnitude, acquisition.scan.echo_times_s)
    if not noise:
        return SignalQuality(noise=None, first_echo_snr=None, last_echo_snr=None)
    first, last = (float(np.median(magnitude[:, echo])) / noise for echo in (0, -1))
    return SignalQuality(noise=noise, first_echo_snr=first, last_echo_snr=last)


def _mask(maps: MapSet, mask: Array) -> MaskQuality:
    valid = float(maps.array("field_mask")[mask].mean()) if "field_mask" in maps else None
    return MaskQuality(volume_ml=float(mask.sum()) * maps.grid.voxel_volume_mm3 / 1e3, valid_fraction=valid)


def _field(acquisition: Acquisition, maps: MapSet, mask: Array, residuals: Array | None) -> FieldQuality:
    times, jumps = acquisition.scan.echo_times_s, None
    if "total_field" in maps and len(times) > 1:
        field_hz = ppm_to_hz(maps.array("total_field"), acquisition.scan.reference_frequency_hz)
        jumps = jump_fraction(field_hz, mask, float(np.min(np.diff(times))))
    valid = maps.array("field_mask") if "field_mask" in maps else mask
    return FieldQuality(
        phase_residual_rad=None if residuals is None else float(np.median(np.abs(residuals), axis=0).max()),
        jump_fraction=jumps,
        noise_ppm=_median(maps, "field_sigma", mask),
        local_field_ppm=_median(maps, "local_field", valid),
    )


def _relaxation(maps: MapSet, mask: Array) -> RelaxationQuality:
    seen = mask & (maps.array("r2") > 0) if "r2" in maps else mask
    negative = _option(maps.get("r2prime"), "negative_fraction")
    if negative is None and {"r2", "r2star"} <= set(maps) and seen.any():
        negative = float(np.mean(maps.array("r2star")[seen] < maps.array("r2")[seen]))
    return RelaxationQuality(
        r2star_per_s=_median(maps, "r2star", mask),
        r2_per_s=_median(maps, "r2", seen),
        r2prime_per_s=_median(maps, "r2prime", seen),
        r2prime_method=maps["r2prime"].method if "r2prime" in maps else None,
        r2star_clamped_fraction=_option(maps.get("r2star"), "clamped_fraction"),
        r2_clamped_fraction=_option(maps.get("r2"), "clamped_fraction"),
        negative_r2prime_fraction=negative,
    )


def _registration(acquisition: Acquisition, maps: MapSet, mask: Array) -> RegistrationQuality:
    found = dict(maps["r2"].options.get("registration") or {}) if "r2" in maps else {}
    before, after = found.get("mutual_information_before"), found.get("mutual_information_after")
    measured = "r2" in maps and acquisition.spin_echo is not None and maps["r2"].method != "given"
    return RegistrationQuality(
        translation_mm=found.get("translation_mm"),
        rotation_deg=found.get("rotation_deg"),
        overlap_fraction=found.get("overlap"),
        mutual_information_gain=None if before is None or after is None else after - before,
        spin_echo_coverage=float((maps.array("r2")[mask] > 0).mean()) if measured else None,
    )


def _median(maps: MapSet, name: str, mask: Array) -> float | None:
    """Median absolute value inside the mask."""
    if name not in maps or not mask.any():
        return None
    return float(np.median(np.abs(maps.array(name)[mask])))


def _option(one: Map | None, key: str) -> float | None:
    value = None if one is None else one.options.get(key)
    return None if value is None else float(value)
