"""What every step on multi-echo phase needs: wrapping and checks of its input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..quantities import TWO_PI


def wrap(phase: Array) -> Array:
    """Bring phase in rad to ±π by adding multiples of 2π; keeps the dtype."""
    multiple = np.rint(phase / phase.dtype.type(TWO_PI))
    multiple *= phase.dtype.type(TWO_PI)
    return np.subtract(phase, multiple, out=multiple)


def check_echoes(phase: Array, magnitude: Array | None, echo_times_s: Sequence[float], mask: Array) -> None:
    """Check that phase, magnitude, echo times and mask belong together.

    Parameters
    ----------
    phase : ndarray, shape (I, J, K, E)
        rad.
    magnitude : ndarray, shape (I, J, K, E), or None
        a.u.
    echo_times_s : sequence of float
        E positive, strictly increasing times, s.
    mask : ndarray of bool, shape (I, J, K)
        At least one voxel inside.

    Raises
    ------
    InputError
        If they do not.
    """
    if phase.ndim != 4 or phase.shape[3] != len(echo_times_s):
        raise InputError("phase", f"shape {phase.shape}", f"four axes, the last of {len(echo_times_s)} echoes")
    if magnitude is not None and magnitude.shape != phase.shape:
        raise InputError("magnitude", f"shape {magnitude.shape}", f"the phase's shape {phase.shape}")
    if mask.shape != phase.shape[:3] or mask.dtype != np.bool_:
        raise InputError("mask", f"{mask.dtype} of shape {mask.shape}", f"bool of shape {phase.shape[:3]}")
    if not mask.any():
        raise InputError("mask", "no voxel inside", "at least one voxel inside")
    if echo_times_s[0] <= 0 or np.any(np.diff(echo_times_s) <= 0):
        raise InputError("echo times", f"{tuple(echo_times_s)} s", "positive, strictly increasing times")
