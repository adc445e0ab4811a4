"""What the JSON sidecars of this project say about the scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .artifacts import ScanParameters
from .errors import InputError

#: What to do about a file of ours that is broken.
CORRECT = "Correct the file, or write the maps again."

#: What every map's sidecar says about the scan.
_SCAN_KEYS = ("echo_times_s", "field_strength_t", "b0_direction_ijk")

#: Difference from length 1 that rounding leaves in a unit vector.
_ROUNDED = 1e-3


def scan_from_sidecar(note: Mapping[str, Any]) -> ScanParameters:
    """Scan parameters from a sidecar.

    Raises
    ------
    InputError
        If one is missing, of a wrong type or nonsense.
    """
    missing = [key for key in _SCAN_KEYS if note.get(key) is None]
    if missing:
        raise InputError("sidecar", f"no {', '.join(missing)}", f"all of {', '.join(_SCAN_KEYS)}", CORRECT)
    frequency = note.get("imaging_frequency_hz")
    return ScanParameters(
        echo_times_s=_numbers(note, "echo_times_s"),
        field_strength_t=_number(note, "field_strength_t"),
        b0_direction_ijk=b0_direction(note["b0_direction_ijk"]),
        imaging_frequency_hz=None if frequency is None else _number(note, "imaging_frequency_hz"),
    )


def b0_direction(value: object) -> tuple[float, float, float]:
    """Direction of B0 as a sidecar has it.

    Raises
    ------
    InputError
        If it is no unit vector of three numbers.
    """
    listed = value if isinstance(value, list) and len(value) == 3 and all(map(_is_number, value)) else [0, 0, 0]
    i, j, k = (float(one) for one in listed)
    if not abs(np.linalg.norm((i, j, k)) - 1.0) <= _ROUNDED:  # which NaN is not either
        raise InputError("sidecar", f"b0_direction_ijk {value!r}", "a unit vector of three numbers, in voxel axes",
                         CORRECT)  # fmt: skip
    return i, j, k


def differing_keys(one: ScanParameters, other: ScanParameters) -> list[str]:
    """Keys in which two scans differ by more than rounding."""
    return [key for key in (*_SCAN_KEYS, "imaging_frequency_hz") if _differ(one, other, key)]


def _differ(one: ScanParameters, other: ScanParameters, key: str) -> bool:
    a, b = np.atleast_1d(getattr(one, key) or 0.0), np.atleast_1d(getattr(other, key) or 0.0)
    return a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, atol=1e-6)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(note: Mapping[str, Any], key: str) -> float:
    value = note[key]
    if not _is_number(value):
        raise InputError("sidecar", f"{key} {value!r}", "a number", CORRECT)
    return float(value)


def _numbers(note: Mapping[str, Any], key: str) -> tuple[float, ...]:
    """One number or a list of numbers, as a tuple."""
    value = note[key]
    listed = value if isinstance(value, list) else [value]
    if not all(map(_is_number, listed)):
        raise InputError("sidecar", f"{key} {value!r}", "numbers", CORRECT)
    return tuple(float(one) for one in listed)
