"""Stored phase to radians: by what the header states, then checked against the values; never by stretching."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from .roles import Vendor
from .stack import Header

#: Units that a user can state, in rad for each unit of the rescaled value.
PHASE_UNITS = {"rad": 1.0, "mrad": 1e-3, "deg": np.pi / 180.0, "cycles": 2.0 * np.pi, "siemens": np.pi / 4096.0}

#: Rescale of Siemens phase: 12 stored bits to −4096…4094, which is −π…π.
SIEMENS_RESCALE = (2.0, -4096.0)
SIEMENS_BITS = 12

#: Vendors whose phase is told by header facts alone.
_ESTABLISHED = {Vendor.SIEMENS: "siemens", Vendor.GE: "mrad"}

#: Vendors whose phase is known by the range that its rescale gives it: no document states their unit.
_KNOWN_BY_RANGE = (Vendor.CANON, Vendor.UNITED_IMAGING)

#: Wrapped phase may exceed ±π by this share: one quantum of 12 bits.
OVERSHOOT = 1e-3

#: Wrapped phase of a whole head comes near π and near −π somewhere; a smaller range is suspicious.
SMALLEST_USUAL_RANGE_RAD = 2.5

_LIMIT_RAD = np.pi * (1.0 + OVERSHOOT)


@dataclass(frozen=True)
class Scale:
    """Radians of a value: ``slope · value + intercept``.

    Parameters
    ----------
    unit : str
        Name of the unit of the values.
    slope, intercept : float
        rad for each unit, and rad at zero.
    """

    unit: str
    slope: float
    intercept: float = 0.0

    def __call__(self, value: float) -> float:
        """Radians of one value."""
        return self.slope * value + self.intercept


@dataclass(frozen=True, eq=False)
class ScaledPhase:
    """Phase in rad within ±π, the rule that made it, and what the user should know.

    Parameters
    ----------
    phase : ndarray
        rad, float32.
    rule : str
        In words, for the record.
    warnings : tuple of str
        What the user must confirm.
    scale : Scale or None
        From the values of the files to rad; ``None`` for phase of real and imaginary parts.
    value_ranges : tuple of (float, float)
        Smallest and largest value of each echo before scaling; empty for real and imaginary parts.
    """

    phase: Array
    rule: str
    warnings: tuple[str, ...] = ()
    scale: Scale | None = None
    value_ranges: tuple[tuple[float, float], ...] = ()


def phase_to_radians(
    values: Array, header: Header, unit: str | None = None, unscaled: Callable[[], Array | None] = lambda: None
) -> ScaledPhase:
    """Scale phase to radians, in the memory of ``values`` if they are float32.

    Parameters
    ----------
    values : ndarray, shape (I, J, K, E[, C])
        As the header rescales them, finite.
    header : Header
        Vendor and scaling of the first echo.
    unit : str, optional
        Key of :data:`PHASE_UNITS`, stated by the user; it overrules the header.
    unscaled : callable, optional
        Gives the values as stored, or ``None``; used only if they fill ±π and the rescaled ones do not.

    Returns
    -------
    ScaledPhase
        float32; one quantum beyond ±π is clipped.

    Raises
    ------
    InputError
        If the unit is unknown, or contradicts the range of the values.
    """
    ends = float(values.min()), float(values.max())
    scale, warnings = _scale(header, unit, ends)
    if _fills_circle(scale, ends):
        return _scaled(values, scale, _reason(header, unit), warnings)
    as_stored = unscaled()
    if as_stored is not None:
        stored_ends = float(as_stored.min()), float(as_stored.max())
        if _fills_circle(scale, stored_ends):
            return _scaled(as_stored, scale, "stored values", (_lying_header(scale, ends, stored_ends),))
    known = _is_known(header, unit, scale)
    if not known or not _is_within_circle(scale, ends):
        raise _unknown_unit(ends, scale.unit if known else None)
    extent = f"{scale(ends[0]):.2f} to {scale(ends[1]):.2f} rad in unit '{scale.unit}'"
    small = f"Phase spans only {extent}; check the phase unit, and that this is phase."
    return _scaled(values, scale, _reason(header, unit), (*warnings, small))


def _scale(header: Header, stated: str | None, ends: tuple[float, float]) -> tuple[Scale, tuple[str, ...]]:
    """Scale that is stated or that header facts give, and what to tell about it; rad is tried where both are silent."""
    if stated is not None:
        if stated not in PHASE_UNITS:
            raise InputError("phase unit", f"'{stated}'", f"one of {', '.join(PHASE_UNITS)}")
        return _of_unit(stated, header, ends), ()
    if header.vendor == Vendor.PHILIPS and header.precise_divisor:
        return _philips_scale(header, header.precise_divisor), ()
    if header.rescale_type in PHASE_UNITS:
        return _of_unit(header.rescale_type, header, ends), ()
    if header.vendor in _KNOWN_BY_RANGE:
        fitting = _fitting_units(ends)
        if len(fitting) == 1:
            return _of_unit(fitting[0], header, ends), (_by_range(header.vendor, fitting[0], ends),)
    scale = _of_unit(_ESTABLISHED.get(header.vendor, "rad"), header, ends)
    return scale, ((_without_rescale(),) if scale.intercept else ())


def _of_unit(name: str, header: Header, ends: tuple[float, float]) -> Scale:
    """Scale of a unit; 12 unsigned bits without their rescale are Siemens' −π…π too."""
    if name == "siemens" and header.rescale != SIEMENS_RESCALE and ends[0] >= 0.0:
        return Scale(name, SIEMENS_RESCALE[0] * PHASE_UNITS[name], SIEMENS_RESCALE[1] * PHASE_UNITS[name])
    return Scale(name, PHASE_UNITS[name])


def _philips_scale(header: Header, divisor: float) -> Scale:
    """Precise scaling (PV·RS + RI)/(RS·SS), which must agree with the milliradians of the rescale."""
    if header.rescale_type == "mrad" and abs(divisor / 1000.0 - 1.0) > 2e-3:
        raise InputError("Philips phase scaling", f"{divisor:.6g} display units for 1 rad in a private element",
                         "1000, as the rescale type is mrad", "State the unit with --phase-unit.")  # fmt: skip
    return Scale("Philips precise", 1.0 / divisor)


def _reason(header: Header, stated: str | None) -> str:
    if stated is not None:
        return "stated"
    named = header.rescale_type in PHASE_UNITS or header.precise_divisor is not None
    return "header" if named or header.vendor in _ESTABLISHED else "range of the values"


def _is_known(header: Header, stated: str | None, scale: Scale) -> bool:
    """Whether the scale holds even where the values do not fill the circle."""
    if stated is not None:
        return True
    if _reason(header, None) != "header":
        return False
    # Siemens values of another rescale, or of none, are known by 12 bits or by filling the circle.
    twelve_bits = header.rescale is None and header.unsigned_bits == SIEMENS_BITS
    return scale.unit != "siemens" or header.rescale == SIEMENS_RESCALE or twelve_bits


def _turns_from_zero(scale: Scale, ends: tuple[float, float]) -> bool:
    """Whether values run from 0 to 2π instead of −π to π."""
    return scale(ends[0]) >= 0.0 and np.pi < scale(ends[1]) <= 2.0 * _LIMIT_RAD


def _is_within_circle(scale: Scale, ends: tuple[float, float]) -> bool:
    wrapped = _turns_from_zero(scale, ends) or max(-scale(ends[0]), scale(ends[1])) <= _LIMIT_RAD
    return ends[0] < ends[1] and wrapped


def _fills_circle(scale: Scale, ends: tuple[float, float]) -> bool:
    low, high = scale(ends[0]), scale(ends[1])
    if _turns_from_zero(scale, ends):
        return low <= np.pi - SMALLEST_USUAL_RANGE_RAD and high >= np.pi + SMALLEST_USUAL_RANGE_RAD
    return min(-low, high) >= SMALLEST_USUAL_RANGE_RAD and max(-low, high) <= _LIMIT_RAD


def _scaled(values: Array, scale: Scale, reason: str, warnings: tuple[str, ...]) -> ScaledPhase:
    """Apply a scale echo by echo, without a second copy of all echoes."""
    ranges = tuple((float(echo.min()), float(echo.max())) for echo in np.moveaxis(values, 3, 0))
    turns = _turns_from_zero(scale, (min(low for low, _ in ranges), max(high for _, high in ranges)))
    phase = np.asarray(values, dtype=np.float32)
    for echo in np.moveaxis(phase, 3, 0):
        echo *= np.float32(scale.slope)
        echo += np.float32(scale.intercept)
        if turns:
            echo[echo > np.pi] -= np.float32(2.0 * np.pi)
        np.clip(echo, -np.pi, np.pi, out=echo)
    return ScaledPhase(phase, f"{scale.unit} ({reason})", warnings, scale, ranges)


def _without_rescale() -> str:
    return ("The phase has no rescale in its header. Its 12 unsigned bits, 0…4095, were read as Siemens stores them: "
            "−π + 2π·value/4096. Confirm that this is the scanner's phase.")  # fmt: skip


def _by_range(vendor: Vendor, unit: str, ends: tuple[float, float]) -> str:
    return (f"{vendor} states no unit of phase; its values from {ends[0]:.6g} to {ends[1]:.6g} fill the circle in unit "
            f"'{unit}' alone, which was taken. Confirm it, or state the unit.")  # fmt: skip


def _lying_header(scale: Scale, ends: tuple[float, float], stored_ends: tuple[float, float]) -> str:
    largest = max(abs(scale(end)) for end in ends)
    low, high = (scale(end) for end in stored_ends)
    return (
        f"The file's own scaling makes phase reach only ±{largest:.3g} rad, while the stored values span "
        f"{low:.3f} to {high:.3f} rad; the stored values were used. Confirm that this is right."
    )


def _fitting_units(ends: tuple[float, float]) -> list[str]:
    """Units in which the values fill the circle."""
    if ends[0] >= 0.0 and 2500.0 < ends[1] <= 4095.0:
        return ["siemens"]
    return [name for name, factor in PHASE_UNITS.items() if _fills_circle(Scale(name, factor), ends)]


def _unknown_unit(ends: tuple[float, float], tried: str | None) -> InputError:
    fitting = _fitting_units(ends)
    advice = "The range fits no unit of phase; magnitude, or a field map in Hz, cannot stand in for phase. "
    if fitting:
        advice = f"The range fits {' or '.join(fitting)}. "
    got = f"values from {ends[0]:.6g} to {ends[1]:.6g} in {f'unit {tried!r}' if tried else 'an unknown unit'}"
    return InputError("phase", got, "wrapped phase within ±π rad",
                      f"{advice}State the unit: --phase-unit {'|'.join(PHASE_UNITS)}.")  # fmt: skip
