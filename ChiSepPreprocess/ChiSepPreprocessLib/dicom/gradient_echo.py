"""A group of gradient echo volumes to magnitude and phase in the project's convention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..artifacts import Acquisition, Array, Grid, ScanParameters, check_volume
from ..errors import InputError
from ..progress import Reporter
from ..quantities import GAMMA_HZ_PER_T
from .groups import (
    ECHO_TIME_TOLERANCE_S,
    Group,
    check_echoes,
    check_one_field_strength,
    check_one_frame_of_reference,
    check_same_grid,
    read_echoes,
)
from .phase import ScaledPhase, phase_to_radians
from .roles import Component, Vendor
from .stack import Stack

#: Nominal and true field differ by this share at most: a 3 T scanner may run at 2.89 T.
FIELD_STRENGTH_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What the user states; ``None`` takes it from the headers.

    Parameters
    ----------
    echo_times_s : tuple of float or None
        Gradient echo times, s, in increasing order.
    se_echo_times_s : tuple of float or None
        Spin echo times, s, in increasing order.
    field_strength_t : float or None
        B0, T.
    phase_unit : str or None
        Unit of the stored phase, a key of :data:`~.phase.PHASE_UNITS`; it overrules the header.
    flip_phase_sign : bool
        Negate the phase, for scans whose veins come out dark in susceptibility.
    """

    echo_times_s: tuple[float, ...] | None = None
    se_echo_times_s: tuple[float, ...] | None = None
    field_strength_t: float | None = None
    phase_unit: str | None = None
    flip_phase_sign: bool = False


@dataclass(frozen=True, eq=False)
class _Signal:
    """Magnitude and phase (rad) on a grid, with the volumes whose headers hold."""

    magnitude: Array
    phase: ScaledPhase
    grid: Grid
    echoes: Sequence[Stack]


def read_gradient_echo(group: Group, options: LoadOptions, report: Reporter) -> Acquisition:
    """Read magnitude and phase of a complete group.

    Raises
    ------
    InputError
        If parts disagree, the phase unit is unknown, or echo times or field strength are missing.
    """
    check_one_frame_of_reference(group)
    check_one_field_strength(group)
    header = group.echoes[0].header
    times, time_notes = echo_times(group.echoes, options.echo_times_s, "--echo-times")
    field_t, field_notes = _field_strength_t(group, options)
    notes = (*time_notes, *field_notes)
    signal = _read_parts(group, report) if group.is_real_imaginary else _read_polar(group, options, report)
    phase, slice_notes = undo_slice_alternation(signal) if header.vendor == Vendor.GE else (signal.phase.phase, ())
    negated = (header.vendor == Vendor.GE) != options.flip_phase_sign
    scan = ScanParameters(
        echo_times_s=times,
        field_strength_t=field_t,
        b0_direction_ijk=signal.grid.b0_direction_ijk,
        imaging_frequency_hz=header.imaging_frequency_hz,
    )
    return Acquisition(
        gre_magnitude=signal.magnitude,
        gre_phase=-phase if negated else phase,
        grid=signal.grid,
        scan=scan,
        warnings=(
            *notes,
            *group.echoes[0].notes,
            *signal.phase.warnings,
            *slice_notes,
            *_sign_notes(header.vendor, options),
        ),
        source=_source(group, signal, negated),
    )


def echo_times(
    stacks: Sequence[Stack], stated: tuple[float, ...] | None, flag: str
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Echo times in s, stated or from the headers, and notes for the user.

    Raises
    ------
    InputError
        If they are missing, or their number is not the number of echoes.
    """
    headers = [stack.header.echo_time_s for stack in stacks]
    known = [time for time in headers if time is not None]
    if stated is None:
        if len(known) < len(stacks):
            raise InputError("echo times", f"none in the headers of {len(stacks) - len(known)} echoes",
                             "one for each echo", f"State them in seconds with {flag}.")  # fmt: skip
        return tuple(known), ()
    if len(stated) != len(stacks):
        raise InputError("echo times", f"{len(stated)} stated", f"{len(stacks)}, one for each echo in the files")
    if not known:
        return tuple(stated), ("Echo times were stated; the echoes were taken in the order of their numbers or files.",)
    differs = len(known) == len(stated) and not np.allclose(stated, known, rtol=0.015, atol=0.0)
    note = f"The stated echo times differ from those of the headers, {[round(time * 1e3, 3) for time in known]} ms."
    return tuple(stated), ((note,) if differs else ())


def _field_strength_t(group: Group, options: LoadOptions) -> tuple[float, tuple[str, ...]]:
    """Field strength in T, stated or from the headers, and notes for the user."""
    header = group.echoes[0].header
    in_header = header.field_strength_t
    if in_header is None and header.imaging_frequency_hz is not None:
        in_header = header.imaging_frequency_hz / GAMMA_HZ_PER_T
    stated = options.field_strength_t
    if stated is not None:
        if in_header is None or abs(stated / in_header - 1.0) <= FIELD_STRENGTH_TOLERANCE:
            return stated, ()
        return stated, (f"The stated field strength, {stated:g} T, differs from the headers' {in_header:.4g} T.",)
    if in_header is None:
        raise InputError("field strength", "none in the headers", "the field strength in T",
                         "State it with --field-strength.")  # fmt: skip
    return in_header, ()


def _check_magnitude(magnitude: Array) -> None:
    """Refuse an empty image, and one that is signed: phase, a real part, or an interpolated image."""
    check_volume("gre_magnitude", magnitude, magnitude.shape)
    low, high = float(magnitude.min()), float(magnitude.max())
    if low < 0.0 or high <= 0.0:
        raise InputError("gre_magnitude", f"values from {low:.6g} to {high:.6g}", "values ≥ 0, not all of them 0",
                         "Check that this is the magnitude; set what interpolation made negative to 0.")  # fmt: skip


def _read_polar(group: Group, options: LoadOptions, report: Reporter) -> _Signal:
    magnitudes, phases = group.of(Component.MAGNITUDE), group.of(Component.PHASE)
    _check_pair(magnitudes, phases)
    magnitude, grid = read_echoes(magnitudes, report.span(0.0, 0.5))
    _check_magnitude(magnitude)
    values, phase_grid = read_echoes(phases, report.span(0.5, 1.0))
    check_same_grid(phase_grid, grid, "phase")
    check_volume("gre_phase", values, magnitude.shape)
    scaled = phase_to_radians(values, phases[0].header, options.phase_unit, lambda: _unscaled(phases))
    return _Signal(magnitude, scaled, grid, magnitudes)


def _unscaled(stacks: Sequence[Stack]) -> Array | None:
    """Values as stored, shape (I, J, K, E), if the files scale them at all."""
    values = [one for one in (stack.read_unscaled() for stack in stacks) if one is not None]
    return np.stack(values, axis=-1) if len(values) == len(stacks) else None


def _check_pair(first: Sequence[Stack], second: Sequence[Stack]) -> None:
    """Refuse components whose echoes do not pair up."""
    names = [stacks[0].header.component.value for stacks in (first, second)]
    for stacks, name in zip((first, second), names, strict=True):
        check_echoes(stacks, name)
    if len(first) != len(second):
        raise InputError("gradient echo scan", f"{len(first)} echoes of {names[0]} and {len(second)} of {names[1]}",
                         "as many of both", "Export both completely.")  # fmt: skip
    for one, other in zip(first, second, strict=True):
        a, b = one.header.echo_time_s, other.header.echo_time_s
        if a is not None and b is not None and abs(a - b) > ECHO_TIME_TOLERANCE_S:
            raise InputError("echo times", f"{a * 1e3:.4g} ms in {names[0]} and {b * 1e3:.4g} ms in {names[1]}",
                             "the same echoes in both")  # fmt: skip


def _read_parts(group: Group, report: Reporter) -> _Signal:
    """Magnitude and phase from real and imaginary parts."""
    reals, imaginaries = group.of(Component.REAL), group.of(Component.IMAGINARY)
    _check_pair(reals, imaginaries)
    real, grid = read_echoes(reals, report.span(0.0, 0.5))
    imaginary, other = read_echoes(imaginaries, report.span(0.5, 1.0))
    check_same_grid(other, grid, "imaginary part")
    for name, part in (("real part", real), ("imaginary part", imaginary)):
        check_volume(name, part, real.shape)
        if part.min() >= 0.0:
            raise InputError(name, f"no negative value (from {part.min():.6g} to {part.max():.6g})",
                             "signed values", "Its rescale is missing; export the original images.")  # fmt: skip
    phase = ScaledPhase(np.arctan2(imaginary, real), "real and imaginary parts")
    return _Signal(np.hypot(real, imaginary), phase, grid, reals)


def undo_slice_alternation(signal: _Signal) -> tuple[Array, tuple[str, ...]]:
    """Undo GE's alternating sign of neighbouring slices of a 3D scan, where it is present.

    The mean angle between neighbouring slices is near π then, and near 0 otherwise.

    Returns
    -------
    phase : ndarray
        rad, shape (I, J, K, E).
    notes : tuple of str
        What was done.
    """
    phase = signal.phase.phase
    first = signal.magnitude[..., 0] * np.exp(1j * phase[..., 0])
    angles = np.angle((first[:, :, 1:] * first[:, :, :-1].conj()).sum(axis=(0, 1)))
    if angles.size == 0 or np.median(np.abs(angles)) < 0.75 * np.pi:
        return phase, ()
    undone = phase.copy()
    undone[:, :, 1::2] -= np.pi * np.where(phase[:, :, 1::2] > 0, 1.0, -1.0)
    return undone, ("The sign of every other slice alternates, as GE scanners store it; this was undone.",)


def _sign_notes(vendor: Vendor, options: LoadOptions) -> tuple[str, ...]:
    if vendor == Vendor.GE and not options.flip_phase_sign:
        return ("GE stores phase with the opposite sign; it was negated. Confirm that veins are bright in the map.",)
    return ()


def _source(group: Group, signal: _Signal, negated: bool) -> dict[str, Any]:
    ranges = [[float(echo.min()), float(echo.max())] for echo in np.moveaxis(signal.phase.phase, -1, 0)]
    return {
        "vendor": group.echoes[0].header.vendor.value,
        "phase_scaling": signal.phase.rule,
        "phase_sign": "negated" if negated else "as stored",
        "phase_range_rad": ranges,
        "series": len({stack.header.series for stack in group.stacks}),
        "b0_tilt_deg": float(np.degrees(np.arccos(min(1.0, np.abs(signal.grid.b0_direction_ijk).max())))),
    }
