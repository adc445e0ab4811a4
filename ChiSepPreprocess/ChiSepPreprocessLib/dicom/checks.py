"""Values that cannot be what they are called: empty, saturated or corrupted echoes, magnitude called phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..artifacts import Array, check_volume
from ..errors import InputError
from .bends import growth_exponent

#: Share of an echo's voxels above zero that lie at its very maximum: scanners clip a few, damaged images many.
WARN_SATURATED = 0.02
REFUSE_SATURATED = 0.5

#: Correlation with the magnitude beyond which values ≥ 0 called phase are magnitude: phase has about 0.
MAGNITUDE_CORRELATION = 0.8

#: Bends of phase grow as TEᵖ with p = 1, those of differences with p = 0. Measured: 0.7 to 1.1 and −0.1 to 0.2.
_GROWS = 0.3

#: Voxels that suffice for a correlation.
_SAMPLE = 200_000


def check_magnitude(magnitude: Array, echo_times_s: Sequence[float], name: str = "gre_magnitude") -> tuple[str, ...]:
    """Refuse an empty, signed or ruined echo.

    Parameters
    ----------
    magnitude : ndarray, shape (I, J, K, E[, C])
        a.u.
    echo_times_s : sequence of float
        For the messages, s.
    name : str
        Artifact name, for the messages.

    Returns
    -------
    tuple of str
        A warning for each echo that is saturated in part.

    Raises
    ------
    InputError
        With the number of the echo.
    """
    notes = []
    for label, echo in _echoes(magnitude, echo_times_s):
        check_volume(name, echo, echo.shape)
        low, high = float(echo.min()), float(echo.max())
        if low < 0.0 or high <= 0.0:
            raise InputError(f"{name} of {label}", f"values from {low:.6g} to {high:.6g}",
                             "values ≥ 0, not all of them 0",
                             "Check that this is the magnitude and that the echo was exported whole; set what "
                             "interpolation made negative to 0.")  # fmt: skip
        share = np.count_nonzero(echo == high) / np.count_nonzero(echo)
        if share >= REFUSE_SATURATED:
            raise InputError(f"{name} of {label}", f"{share:.0%} of its voxels at the largest value, {high:.6g}",
                             "an image that is not saturated",
                             "Export the original images again; a rescaled or 8-bit copy loses the decay.")  # fmt: skip
        if share >= WARN_SATURATED:
            notes.append(f"{share:.1%} of the voxels of {label} lie at its largest magnitude, {high:.6g}: it is "
                         "saturated there, and its decay will be wrong there.")  # fmt: skip
    return tuple(notes)


def check_phase(values: Array, magnitude: Array, echo_times_s: Sequence[float]) -> None:
    """Refuse phase with voxels that are no numbers, a constant echo, and magnitude in its place.

    Parameters
    ----------
    values : ndarray, shape (I, J, K, E[, C])
        Phase as the headers rescale it, any unit.
    magnitude : ndarray, same shape
        a.u.
    echo_times_s : sequence of float
        For the messages, s.

    Raises
    ------
    InputError
        With the number of the echo.
    """
    pairs = zip(_echoes(values, echo_times_s), _echoes(magnitude, echo_times_s), strict=True)
    for (name, echo), (_, signal) in pairs:
        check_volume("gre_phase", echo, echo.shape)
        low, high = float(echo.min()), float(echo.max())
        if low == high:
            raise InputError(f"gre_phase of {name}", f"the same value everywhere, {low:.6g}", "phase that varies",
                             "The echo is empty or damaged; export it again.")  # fmt: skip
        if low >= 0.0 and (likeness := _correlation(echo, signal)) > MAGNITUDE_CORRELATION:
            raise InputError(f"gre_phase of {name}", f"an image that resembles the magnitude (correlation "
                             f"{likeness:.2f}, no value below 0)", "wrapped phase",
                             "The magnitude seems to have been given as phase; name the phase images.")  # fmt: skip


def doubt_phase_differences(
    magnitude: Array, phase: Array, echo_times_s: Sequence[float], voxel_size_mm: Sequence[float]
) -> tuple[str, ...]:
    """Doubt images called phase that show one pattern that does not grow with the echo time.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K, E)
        a.u. and rad, of combined coils.
    echo_times_s : sequence of float
        E times, s.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.

    Returns
    -------
    tuple of str
        One warning, or none.
    """
    exponent = growth_exponent(magnitude, phase, echo_times_s, voxel_size_mm)
    if exponent is None or exponent >= _GROWS:
        return ()
    return (f"The pattern of the phase does not grow with the echo time (as its power {exponent:.1f}; phase has 1): "
            "these seem to be phase differences between echoes. Give the phase of each echo as the scanner measured "
            "it.",)  # fmt: skip


def _echoes(values: Array, echo_times_s: Sequence[float]) -> Iterator[tuple[str, Array]]:
    for echo, time in enumerate(echo_times_s):
        yield f"echo {echo + 1} ({time * 1e3:.4g} ms)", values[:, :, :, echo]


def _correlation(one: Array, other: Array) -> float:
    """Pearson's correlation of evenly drawn voxels above zero: a background set to zero proves nothing."""
    step = 1 + one.size // _SAMPLE
    a, b = (np.ravel(part)[::step].astype(np.float64) for part in (one, other))
    signal = (a > 0.0) & (b > 0.0)
    a, b = a[signal] - a[signal].mean(), b[signal] - b[signal].mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0.0 else 0.0
