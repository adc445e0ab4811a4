"""Extended phase graph of a spin-echo train (Hennig, Concepts Magn Reson 1991;3:125-143), with slice profiles.

Between the pulses of a CPMG train the magnetisation is a sum of states whose phase turns by whole multiples of what
one half echo spacing adds. All of them stay real, and only odd multiples meet a pulse: the state that leaves
the excitation is at 1, and one echo spacing shifts by 2. So the graph holds the odd orders
1, 3, 5, … alone, and each echo is the one that crosses zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

Doubles = NDArray[np.float64]
#: Weight, excitation angle and refocusing angle of one part of the slice; angles relative to the nominal ones.
SubSlice = tuple[float, float, float]
SliceProfile = Literal["none", "gaussian", "sinc"]

#: A pulse that acts the same everywhere.
WHOLE_SLICE: tuple[SubSlice, ...] = ((1.0, 1.0, 1.0),)
_HALF_PARTS = 12
#: Zero crossings of the sinc pulse on either side of its middle.
_SINC_LOBES = 2


def echo_amplitudes(
    rates_per_s: ArrayLike, b1: ArrayLike, refocusing_angles_deg: Sequence[float], echo_spacing_s: float, *,
    t1_s: float = 1.2, excitation_angle_deg: float = 90.0, sub_slices: Sequence[SubSlice] = WHOLE_SLICE,
) -> Doubles:  # fmt: skip
    """Amplitudes of all echoes of a CPMG train, stimulated echoes included.

    With a slice profile the parts of the slice add up: S_n = Σ w·sin(α_exc)·EPG_n(α_ref) (Lebel and Wilman,
    MRM 2010;64:1005-1014). If every refocusing angle is 180°, S_n = sin(α_exc)·exp(−n·spacing·R2).

    Parameters
    ----------
    rates_per_s, b1 : array_like
        R2 in 1/s, and actual over nominal angle of every pulse; broadcast against each other.
    refocusing_angles_deg : sequence of float
        Nominal angle of each pulse, degrees; as many echoes come out.
    echo_spacing_s : float
        s.
    t1_s : float
        s; it hardly matters.
    excitation_angle_deg : float
        Nominal, degrees.
    sub_slices : sequence of (weight, excitation, refocusing)
        Parts of the slice; see :func:`slice_profile`.

    Returns
    -------
    ndarray, shape (..., echo)
        Per unit of magnetisation.

    Raises
    ------
    InputError
        If a time is not positive, or there is no pulse.
    """
    if not (echo_spacing_s > 0 and t1_s > 0) or not len(refocusing_angles_deg):
        raise InputError("spin-echo train", f"{len(refocusing_angles_deg)} pulses, spacing {echo_spacing_s} s, "
                         f"T1 {t1_s} s", "at least one pulse and positive times")  # fmt: skip
    rates, transmit = np.broadcast_arrays(np.asarray(rates_per_s, dtype=float), np.asarray(b1, dtype=float))
    decay, recovery = np.exp(-echo_spacing_s * rates), np.exp(-echo_spacing_s / t1_s)
    angles = np.radians(np.asarray(refocusing_angles_deg, dtype=float))
    total = np.zeros((angles.size, *rates.shape))
    for weight, excitation, refocusing in sub_slices:
        tipped = weight * np.sin(np.radians(excitation_angle_deg) * excitation * transmit)
        total += _train(tipped, angles, refocusing * transmit, decay, recovery)
    return np.moveaxis(total, 0, -1)


def _train(tipped: Doubles, angles: Doubles, scale: Doubles, decay: Doubles, recovery: float) -> Doubles:
    """Echoes of one part of the slice, shape (echo, ...); ``decay`` and ``recovery`` are those of one spacing.

    Relaxation of the two halves around a pulse is put together: it is the same for every path of
    transverse states, and that of T1 spans whole spacings.
    """
    plus, minus, along = np.zeros((3, angles.size + 1, *tipped.shape))
    plus[0] = tipped
    echoes = np.empty((angles.size, *tipped.shape))
    for n, angle in enumerate(angles):
        seen = slice(0, n + 1)
        plus[seen], minus[seen], along[seen] = _refocused(plus[seen], minus[seen], along[seen], angle * scale)
        echoes[n] = minus[0] * decay
        plus[1 : n + 2] = plus[seen] * decay
        plus[0] = echoes[n]
        minus[:n] = minus[1 : n + 1] * decay
        minus[n] = 0
        along[seen] *= recovery
    return echoes


def _refocused(plus: Doubles, minus: Doubles, along: Doubles, angle: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """States after a pulse about the axis along which the excited magnetisation lies."""
    swap, sine, cosine = np.sin(angle / 2) ** 2, np.sin(angle), np.cos(angle)
    exchanged = swap * (minus - plus) + sine * along
    return plus + exchanged, minus - exchanged, sine / 2 * (minus - plus) + cosine * along


def slice_profile(shape: SliceProfile, refocusing_ratio: float = 1.0) -> tuple[SubSlice, ...]:
    """Angles across the slice, in the limit of small angles: the pulse's spectrum, scaled to its nominal angle.

    Parameters
    ----------
    shape : {"none", "gaussian", "sinc"}
        ``"none"``: a non-selective pulse or a perfect slice. ``"sinc"``: a sinc pulse with two zero crossings on
        either side, Hann-filtered.
    refocusing_ratio : float
        Width of the refocused over that of the excited slice.

    Returns
    -------
    tuple of (weight, excitation, refocusing)
        Equal steps over half the slice, which is symmetric; the weights add up to 1.

    Raises
    ------
    InputError
        If the shape is unknown or the ratio is not positive or over 100.
    """
    if not 0 < refocusing_ratio <= 100:
        raise InputError("width ratio of the slices", refocusing_ratio, "a positive number up to 100")
    if shape == "none":
        return WHOLE_SLICE
    if shape not in ("gaussian", "sinc"):
        raise InputError("slice profile", shape, "none, gaussian or sinc")
    spectrum = _gaussian if shape == "gaussian" else _sinc
    # In units of the excited slice's full width at half maximum; both profiles have faded at 1.25 of it.
    places = (np.arange(_HALF_PARTS) + 0.5) / _HALF_PARTS * 1.25
    excitation, refocusing = spectrum(places), spectrum(places / refocusing_ratio)
    weight = 1 / _HALF_PARTS
    return tuple((weight, float(e), float(r)) for e, r in zip(excitation, refocusing, strict=True))


def _gaussian(places: Doubles) -> Doubles:
    return np.asarray(np.exp2(-4 * places**2))


def _sinc(places: Doubles) -> Doubles:
    """Spectrum of the filtered sinc pulse: the slice, smoothed by the filter's own spectrum."""
    time = np.linspace(-1, 1, 401)
    pulse = np.sinc(_SINC_LOBES * time) * (1 + np.cos(np.pi * time)) / 2
    # A sinc with zeros every 1/lobes has its band edges at ± lobes/2.
    spectrum = np.cos(2 * np.pi * np.outer(places * _SINC_LOBES, time)) @ pulse
    return np.asarray(spectrum / pulse.sum())
