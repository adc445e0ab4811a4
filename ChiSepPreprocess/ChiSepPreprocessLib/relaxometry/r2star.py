"""R2*, the rate of the gradient-echo decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..artifacts import Array
from ..errors import InputError
from .decay import DecayFit, arlo, fit_volume, log_linear

_FITS = {"arlo": arlo, "loglinear": log_linear}
_FEWEST_ECHOES = {"arlo": 3, "loglinear": 2}


@dataclass(frozen=True, kw_only=True)
class R2StarOptions:
    """How R2* is fitted.

    Parameters
    ----------
    maximum_per_s : float
        Larger rates are clamped to this, 1/s.
    method : {"auto", "arlo", "loglinear"}
        ``"auto"``: ARLO from three echoes on, the log-linear fit for two.
    """

    maximum_per_s: float = 500.0
    method: Literal["auto", "arlo", "loglinear"] = "auto"


def r2star(
    magnitude: Array, echo_times_s: Sequence[float], mask: Array, options: R2StarOptions | None = None
) -> DecayFit:
    """R2* of a multi-echo gradient echo.

    Parameters
    ----------
    magnitude : ndarray, shape (I, J, K, E)
        a.u.
    echo_times_s : sequence of float
        s.
    mask : ndarray of bool, shape (I, J, K)
        Where to fit; 0 elsewhere.
    options : R2StarOptions, optional
        Method and range.

    Returns
    -------
    DecayFit
        Rates in 1/s.

    Raises
    ------
    InputError
        If there are too few echoes for the method, or shapes disagree.
    """
    options = options or R2StarOptions()
    echoes = len(echo_times_s)
    method = options.method if options.method != "auto" else "arlo" if echoes >= 3 else "loglinear"
    if method not in _FITS:
        raise InputError("R2* method", options.method, "auto, arlo or loglinear")
    if echoes < _FEWEST_ECHOES[method]:
        raise InputError("gradient echoes for R2*", echoes, f"at least {_FEWEST_ECHOES[method]} for {method}")
    return fit_volume(magnitude, echo_times_s, mask, _FITS[method], options.maximum_per_s, method)
