"""Magnitude and phase of a scan, from whichever components its files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array, Grid, check_volume
from ..errors import InputError
from ..progress import Reporter
from .checks import check_magnitude, check_phase
from .groups import COMBINED, ECHO_TIME_TOLERANCE_S, Group, check_echoes, check_same_grid, read_echoes
from .phase import ScaledPhase, phase_to_radians
from .roles import Component
from .stack import Stack


@dataclass(frozen=True, eq=False)
class Signal:
    """Magnitude and phase on a grid.

    Parameters
    ----------
    magnitude : ndarray of float32, shape (I, J, K, E) or (I, J, K, E, C)
        a.u.; of uncombined images the coils last.
    phase : ScaledPhase
        rad, same shape.
    grid : Grid
        Of every volume.
    warnings : tuple of str
        What the user should know about the values.
    """

    magnitude: Array
    phase: ScaledPhase
    grid: Grid
    warnings: tuple[str, ...] = ()


def read_signal(group: Group, echo_times_s: Sequence[float], phase_unit: str | None, report: Reporter) -> Signal:
    """Read the components of a group and make magnitude and phase of them.

    Parameters
    ----------
    group : Group
        With magnitude and phase, or real and imaginary parts.
    echo_times_s : sequence of float
        For messages, s.
    phase_unit : str or None
        Stated by the user, a key of :data:`~.phase.PHASE_UNITS`.
    report : Reporter
        Progress.

    Raises
    ------
    InputError
        If parts disagree, are damaged, or are not what they are called.
    """
    if group.is_real_imaginary:
        return _read_parts(group, echo_times_s, report)
    return _read_polar(group, echo_times_s, phase_unit, report)


def _read_polar(group: Group, echo_times_s: Sequence[float], phase_unit: str | None, report: Reporter) -> Signal:
    magnitude, values, grid = _read_pair(group, Component.MAGNITUDE, Component.PHASE, report)
    notes = check_magnitude(magnitude, echo_times_s)
    check_phase(values, magnitude, echo_times_s)
    phases = group.of(Component.PHASE)
    scaled = phase_to_radians(values, phases[0].header, phase_unit, lambda: _unscaled(group, values.shape))
    return Signal(magnitude, scaled, grid, notes)


def _read_parts(group: Group, echo_times_s: Sequence[float], report: Reporter) -> Signal:
    """Magnitude and phase from real and imaginary parts, in their memory."""
    real, imaginary, grid = _read_pair(group, Component.REAL, Component.IMAGINARY, report)
    for name, part in (("real part", real), ("imaginary part", imaginary)):
        check_volume(name, part, real.shape)
        if part.min() >= 0.0:
            raise InputError(name, f"no negative value (from {part.min():.6g} to {part.max():.6g})",
                             "signed values", "Its rescale is missing; export the original images.")  # fmt: skip
    for re, im in zip(np.moveaxis(real, 3, 0), np.moveaxis(imaginary, 3, 0), strict=True):
        re[...], im[...] = np.hypot(re, im), np.arctan2(im, re)
    notes = check_magnitude(real, echo_times_s)
    return Signal(real, ScaledPhase(imaginary, "real and imaginary parts"), grid, notes)


def _read_pair(group: Group, first: Component, second: Component, report: Reporter) -> tuple[Array, Array, Grid]:
    """Values of two components, each (I, J, K, E), or (I, J, K, E, C) of uncombined images."""
    for coil in group.coils:
        _check_pair(group.of(first, coil), group.of(second, coil), coil)
    one, grid = _read_coils(group, first, report.span(0.0, 0.5))
    other, other_grid = _read_coils(group, second, report.span(0.5, 1.0))
    check_same_grid(other_grid, grid, second.value)
    return one, other, grid


def _read_coils(group: Group, component: Component, report: Reporter) -> tuple[Array, Grid]:
    """Values of all coils; each volume lies in one piece of memory where there are several."""
    if group.coils == (COMBINED,):
        return read_echoes(group.of(component), report)
    by_coil = [group.of(component, coil) for coil in group.coils]
    counts = sorted({len(stacks) for stacks in by_coil})
    if len(counts) > 1:
        raise InputError("uncombined images", f"from {counts[0]} to {counts[-1]} echoes of {component} for a coil",
                         "as many for every coil", "Export all coils completely.")  # fmt: skip
    stacks = [stack for of_coil in by_coil for stack in of_coil]
    shape = stacks[0].grid().shape
    volumes = np.empty((len(stacks), *shape), dtype=np.float32)
    _, grid = read_echoes(stacks, report, np.moveaxis(volumes, 0, -1))
    return volumes.reshape(len(by_coil), counts[0], *shape).transpose(2, 3, 4, 1, 0), grid


def _unscaled(group: Group, shape: tuple[int, ...]) -> Array | None:
    """Values as stored, if the files scale them at all."""
    values = np.empty((len(group.coils), *shape[:4]), dtype=np.float32)
    for number, coil in enumerate(group.coils):
        for echo, stack in enumerate(group.of(Component.PHASE, coil)):
            stored = stack.read_unscaled()
            if stored is None:
                return None
            values[number, ..., echo] = stored
    return values[0] if len(shape) == 4 else np.moveaxis(values, 0, -1)


def _check_pair(first: Sequence[Stack], second: Sequence[Stack], coil: str) -> None:
    """Refuse components whose echoes do not pair up."""
    if not first or not second:
        raise InputError("uncombined images", f"coil {coil} without one of its components", "both for every coil",
                         "Export all coils completely.")  # fmt: skip
    names = [stacks[0].header.component.value for stacks in (first, second)]
    for stacks, name in zip((first, second), names, strict=True):
        check_echoes(stacks, name)
    if len(first) != len(second):
        raise _unpaired(names, len(first), len(second))
    for one, other in zip(first, second, strict=True):
        a, b = one.header.echo_time_s, other.header.echo_time_s
        if a is not None and b is not None and abs(a - b) > ECHO_TIME_TOLERANCE_S:
            raise InputError("echo times", f"{a * 1e3:.4g} ms in {names[0]} and {b * 1e3:.4g} ms in {names[1]}",
                             "the same echoes in both")  # fmt: skip


def _unpaired(names: Sequence[str], first: int, second: int) -> InputError:
    hint = "Export both completely."
    if names[1] == Component.PHASE and second == first - 1:
        hint += (" One phase image fewer than magnitude images may mean phase differences between echoes, which "
                 "cannot stand in for the phase of each echo.")  # fmt: skip
    return InputError("gradient echo scan", f"{first} echoes of {names[0]} and {second} of {names[1]}",
                      "as many of both", hint)  # fmt: skip
