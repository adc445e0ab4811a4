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

#: Wrapped phase may exceed ±π by this share: one quantum of 12 bits.
OVERSHOOT = 1e-3

#: Wrapped phase of a whole head comes near π and near −π somewhere; a smaller range is suspicious.
SMALLEST_USUAL_RANGE_RAD = 2.5

_LIMIT_RAD = np.pi * (1.0 + OVERSHOOT)


@dataclass(frozen=True, eq=False)
class ScaledPhase:
    """Phase in rad within ±π, the rule that made it, and what the user should know."""

    phase: Array
    rule: str
    warnings: tuple[str, ...] = ()


def phase_to_radians(
    values: Array, header: Header, unit: str | None = None, unscaled: Callable[[], Array | None] = lambda: None
) -> ScaledPhase:
    """Scale phase to radians.

    Parameters
    ----------
    values : ndarray
        All echoes, as the header rescales them.
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
    name, factor = _unit(header, unit)
    radians = _to_radians(values, name, factor, header)
    if _fills_circle(radians):
        return ScaledPhase(_clipped(radians), f"{name} ({_reason(header, unit)})")
    as_stored = unscaled()
    if as_stored is not None:
        stored = _to_radians(as_stored, name, factor, header)
        if _fills_circle(stored):
            return ScaledPhase(_clipped(stored), f"{name} (stored values)", (_lying_header(radians, stored),))
    largest = float(np.abs(radians).max())
    # Siemens values of another rescale, or of none, are known by filling the circle alone.
    by_header = _reason(header, None) == "header" and (name != "siemens" or header.rescale == SIEMENS_RESCALE)
    known = unit is not None or by_header
    if not known or not 0.0 < largest <= _LIMIT_RAD:
        raise _unknown_unit(values, name if known else None)
    extent = f"{radians.min():.2f} to {radians.max():.2f} rad in unit '{name}'"
    warning = f"Phase spans only {extent}; check the phase unit, and that this is phase."
    return ScaledPhase(_clipped(radians), f"{name} ({_reason(header, unit)})", (warning,))


def _unit(header: Header, stated: str | None) -> tuple[str, float]:
    """Name and factor of the unit, stated or by header facts; rad is tried where both are silent."""
    if stated is not None:
        if stated not in PHASE_UNITS:
            raise InputError("phase unit", f"'{stated}'", f"one of {', '.join(PHASE_UNITS)}")
        return stated, PHASE_UNITS[stated]
    if header.vendor == Vendor.PHILIPS and header.precise_divisor:
        return _philips_unit(header, header.precise_divisor)
    if header.rescale_type in PHASE_UNITS:
        return header.rescale_type, PHASE_UNITS[header.rescale_type]
    name = {Vendor.SIEMENS: "siemens", Vendor.GE: "mrad"}.get(header.vendor, "rad")
    return name, PHASE_UNITS[name]


def _philips_unit(header: Header, divisor: float) -> tuple[str, float]:
    """Precise scaling (PV·RS + RI)/(RS·SS), which must agree with the milliradians of the rescale."""
    if header.rescale_type == "mrad" and abs(divisor / 1000.0 - 1.0) > 2e-3:
        raise InputError("Philips phase scaling", f"{divisor:.6g} display units for 1 rad in a private element",
                         "1000, as the rescale type is mrad", "State the unit with --phase-unit.")  # fmt: skip
    return "Philips precise", 1.0 / divisor


def _reason(header: Header, stated: str | None) -> str:
    if stated is not None:
        return "stated"
    named = header.rescale_type in PHASE_UNITS or header.precise_divisor is not None
    return "header" if named or header.vendor in (Vendor.SIEMENS, Vendor.GE) else "range of the values"


def _to_radians(values: Array, name: str, factor: float, header: Header) -> Array:
    values = values.astype(np.float64)
    if name == "siemens" and header.rescale != SIEMENS_RESCALE and values.min() >= 0.0:
        values = values * SIEMENS_RESCALE[0] + SIEMENS_RESCALE[1]
    radians = np.asarray(values * factor)
    one_turn_from_zero = radians.min() >= 0.0 and np.pi < radians.max() <= 2.0 * _LIMIT_RAD
    return radians - 2.0 * np.pi * (radians > np.pi) if one_turn_from_zero else radians


def _fills_circle(radians: Array) -> bool:
    low, high = float(radians.min()), float(radians.max())
    near_both_ends = min(-low, high) >= SMALLEST_USUAL_RANGE_RAD
    return near_both_ends and max(-low, high) <= _LIMIT_RAD


def _clipped(radians: Array) -> Array:
    return np.clip(radians, -np.pi, np.pi).astype(np.float32)


def _lying_header(radians: Array, stored: Array) -> str:
    return (
        f"The file's own scaling makes phase reach only ±{np.abs(radians).max():.3g} rad, while the stored values span "
        f"{stored.min():.3f} to {stored.max():.3f} rad; the stored values were used. Confirm that this is right."
    )


def _unknown_unit(values: Array, tried: str | None) -> InputError:
    low, high = float(values.min()), float(values.max())
    fitting = [name for name, factor in PHASE_UNITS.items() if _fills_circle(np.array([low, high]) * factor)]
    if low >= 0.0 and 2500.0 < high <= 4095.0:
        fitting = ["siemens"]
    advice = f"The range fits {' or '.join(fitting)}. " if fitting else ""
    got = f"values from {low:.6g} to {high:.6g} in {f'unit {tried!r}' if tried else 'an unknown unit'}"
    return InputError("phase", got, "wrapped phase within ±π rad",
                      f"{advice}State the unit: --phase-unit {'|'.join(PHASE_UNITS)}.")  # fmt: skip
