"""A group of gradient echo volumes to an acquisition in the project's convention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Acquisition, Array, Grid, ScanParameters
from ..errors import InputError
from ..progress import Reporter
from ..quantities import GAMMA_HZ_PER_T
from .checks import doubt_phase_differences
from .groups import COMBINED, Group, check_one_field_strength, check_one_frame_of_reference
from .polarity import Alternation, sign_rule, undo_alternations
from .record import record
from .roles import Vendor
from .signal import Signal, read_signal
from .stack import OWN_EXPORT, Stack

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
    flip_phase : bool
        Reverse the sign that the vendor's rule gives the phase, for scans whose veins come out dark in susceptibility.
    """

    echo_times_s: tuple[float, ...] | None = None
    se_echo_times_s: tuple[float, ...] | None = None
    field_strength_t: float | None = None
    phase_unit: str | None = None
    flip_phase: bool = False


#: Combines coils: magnitude and phase (I, J, K, E, C), echo times in s, voxel size in mm, progress → (I, J, K, E) each.
Combine = Callable[[Array, Array, Sequence[float], Sequence[float], Reporter], tuple[Array, Array]]


def read_gradient_echo(group: Group, options: LoadOptions, combine: Combine, report: Reporter) -> Acquisition:
    """Read magnitude and phase of a complete group.

    Parameters
    ----------
    group : Group
        Volumes of one scan.
    options : LoadOptions
        What the user states.
    combine : callable
        Used where the images of several coils lie apart.
    report : Reporter
        Progress.

    Raises
    ------
    InputError
        If parts disagree or are damaged, the phase unit is unknown, or echo times or field strength are missing.
    """
    check_one_frame_of_reference(group)
    check_one_field_strength(group)
    header = group.echoes[0].header
    times, time_notes = echo_times(group.echoes, options.echo_times_s, "--echo-times")
    field_t, field_notes = _field_strength_t(group, options)
    apart = group.coils != (COMBINED,)
    signal = read_signal(group, times, options.phase_unit, report.span(0.0, 0.5 if apart else 1.0))
    alternations, slice_notes = _undo_alternations(signal, header.vendor)
    sign = sign_rule(header.vendor, options.flip_phase, header.export == OWN_EXPORT)
    if sign.negated:
        np.negative(signal.phase.phase, out=signal.phase.phase)
    source = record(group, signal, times, sign, alternations)
    magnitude, phase = signal.magnitude, signal.phase.phase
    if apart:
        magnitude, phase = combine(magnitude, phase, times, signal.grid.voxel_size_mm, report.span(0.5, 1.0))
    return Acquisition(
        gre_magnitude=magnitude,
        gre_phase=phase,
        grid=signal.grid,
        scan=_scan(group, times, field_t, signal.grid),
        warnings=(
            *time_notes,
            *field_notes,
            *group.echoes[0].notes,
            *signal.warnings,
            *signal.phase.warnings,
            *slice_notes,
            *sign.warnings,
            *doubt_phase_differences(magnitude, phase, times, signal.grid.voxel_size_mm),
        ),
        source=source,
    )


def _scan(group: Group, times: tuple[float, ...], field_t: float, grid: Grid) -> ScanParameters:
    return ScanParameters(
        echo_times_s=times,
        field_strength_t=field_t,
        b0_direction_ijk=grid.b0_direction_ijk,
        imaging_frequency_hz=group.echoes[0].header.imaging_frequency_hz,
    )


def _undo_alternations(signal: Signal, vendor: Vendor) -> tuple[tuple[Alternation, ...], tuple[str, ...]]:
    """Undo the alternating sign of slices, in place, where it is present; what was found, and notes."""
    found = undo_alternations(signal.magnitude, signal.phase.phase)
    score = f"mean angle between neighbouring slices {found[0].angle_rad:.2f} rad"
    if len(found) > 1:
        axes = ", ".join("ijk"[one.axis] for one in found)
        return found, (f"The sign of phase alternates along {axes}, as a Fourier transform without the shift of its "
                       f"centre leaves it ({score}); this was undone.",)  # fmt: skip
    if found[0].present:
        return found, (
            f"The sign of every other slice alternates, as GE scanners store it ({score}); this was undone.",
        )
    if vendor == Vendor.GE and found[0].unclear:
        return found, (f"Whether the sign of every other slice alternates is unclear ({score}, expected near 0 or π); "
                       "the slices were kept as stored. Look at the phase across slices.",)  # fmt: skip
    return found, ()


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
    if list(stated) != sorted(set(stated)):
        raise InputError("echo times", f"{tuple(stated)} s, as stated", "increasing times, each once",
                         f"State them with {flag} in the order of the echoes.")  # fmt: skip
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
