"""R2*, the rate of the gradient-echo decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..artifacts import Array, check_volume
from ..errors import InputError
from ..options import check_choice
from ..progress import Reporter
from .decay import DecayFit, Floats, arlo, check_decay, fit_volume, log_linear, masked_samples, spread
from .gradient import field_spread_hz
from .nonlinear import NonlinearFit, estimate_noise, fit_decay
from .smoothing import smooth_map

Method = Literal["auto", "ml", "nlls", "arlo", "loglinear"]

_CLOSED_FORMS = {"arlo": arlo, "loglinear": log_linear}
_FEWEST_ECHOES = {"ml": 3, "nlls": 3, "arlo": 3, "loglinear": 2}
#: A negative rate farther from 0 than this many standard deviations is no noise.
_IMPLAUSIBLE = 4.0
#: Such a signal has decayed before any echo.
_LARGEST_RATE_PER_S = 1e5


@dataclass(frozen=True, kw_only=True)
class R2StarOptions:
    """How R2* is fitted.

    Parameters
    ----------
    maximum_per_s : float
        Larger rates are clamped to this, 1/s.
    method : {"auto", "ml", "nlls", "arlo", "loglinear"}
        ``"ml"``: maximum likelihood under Rician noise, without the bias of the noise floor.
        ``"nlls"``: least squares. ``"arlo"`` (Pei 2015) and ``"loglinear"`` (weighted by the signal squared):
        closed forms, which take no account of the field and are not smoothed.
        ``"auto"``: maximum likelihood from three echoes on, the log-linear fit for two.
    correct_field_slope : bool
        Whether ``"ml"`` and ``"nlls"`` account for the dephasing by the field's slope across the voxel
        (Fernández-Seara & Wehrli, MRM 2000), if the field is given.
    smoothing_s2 : float
        Weight λ of the edge-preserving smoothing of ``"ml"`` and ``"nlls"``, s² (:func:`.smoothing.smooth_map`);
        0 for none. 0.05 says that neighbours are within 4.5 1/s of each other, which matters where noise
        or the field's slope leaves R2* less certain than that.
    edge_per_s : float
        Differences between neighbours above this are taken for edges, 1/s.
    """

    maximum_per_s: float = 500.0
    method: Method = "auto"
    correct_field_slope: bool = True
    smoothing_s2: float = 0.05
    edge_per_s: float = 1.0

    def __post_init__(self) -> None:
        check_choice("R2* method", self.method, Method)
        if not 0 < self.maximum_per_s <= _LARGEST_RATE_PER_S:
            raise InputError("largest rate", f"{self.maximum_per_s} 1/s",
                             f"a positive rate up to {_LARGEST_RATE_PER_S:.0f} 1/s")  # fmt: skip
        if not (0 <= self.smoothing_s2 < np.inf and 0 < self.edge_per_s < np.inf):
            raise InputError("R2* smoothing", f"{self.smoothing_s2} s², edge {self.edge_per_s} 1/s",
                             "a weight of 0 or more and an edge above 0")  # fmt: skip


def r2star(
    magnitude: Array,
    echo_times_s: Sequence[float],
    mask: Array,
    options: R2StarOptions | None = None,
    *,
    field_hz: Array | None = None,
    voxel_size_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    noise_sigma: float | None = None,
    report: Reporter | None = None,
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
    field_hz : ndarray, shape (I, J, K), optional
        Unwrapped total field (background included) in the mask, Hz; removes the dephasing near air.
    voxel_size_mm : tuple of float
        mm; only the ratios count, for the smoothing.
    noise_sigma : float, optional
        Standard deviation of the noise in each channel, in units of the magnitude; by default
        it comes from the residuals of the fit.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    DecayFit
        Rates in 1/s; with their standard deviation for ``"ml"`` and ``"nlls"``.

    Raises
    ------
    InputError
        If there are too few echoes for the method, or shapes disagree.
    CancelledError
        If the caller asked to stop.
    """
    options, report = options or R2StarOptions(), report or Reporter()
    method = _method(options, len(echo_times_s))
    if method in _CLOSED_FORMS:
        return fit_volume(magnitude, echo_times_s, mask, _CLOSED_FORMS[method], options.maximum_per_s, method, report)
    times = check_decay(magnitude, echo_times_s, mask, options.maximum_per_s)
    samples = masked_samples(magnitude, mask)
    spread_hz = _spread_hz(field_hz, mask) if options.correct_field_slope else None
    noise = estimate_noise(samples, times, spread_hz) if noise_sigma is None else noise_sigma
    fit = fit_decay(samples, times, noise, spread_hz, rician=method == "ml", highest_per_s=2 * options.maximum_per_s,
                    report=report.span(0.1, 0.7))  # fmt: skip
    words = method if spread_hz is None else f"{method}, field slope"
    return _finished(fit, mask, options, voxel_size_mm, words, report.span(0.7, 1.0))


def _method(options: R2StarOptions, echoes: int) -> str:
    method = options.method if options.method != "auto" else "ml" if echoes >= 3 else "loglinear"
    if echoes < _FEWEST_ECHOES[method]:
        raise InputError("gradient echoes for R2*", echoes, f"at least {_FEWEST_ECHOES[method]} for {method}")
    return method


def _spread_hz(field_hz: Array | None, mask: Array) -> Floats | None:
    if field_hz is None:
        return None
    check_volume("field for R2*", field_hz, mask.shape)
    return field_spread_hz(field_hz, mask)


def _finished(
    fit: NonlinearFit, mask: Array, options: R2StarOptions, voxel_size_mm: tuple[float, float, float], method: str,
    report: Reporter,
) -> DecayFit:  # fmt: skip
    """Smooth what is plausible into what is not, and clamp."""
    rate, deviation = fit.rate_per_s, fit.deviation_per_s
    # The deviation in air may be the largest float.
    with np.errstate(over="ignore"):
        known = np.isfinite(rate) & (rate <= options.maximum_per_s) & (rate >= -_IMPLAUSIBLE * deviation)
    clamped = 1 - float(np.mean((rate >= 0) & (rate <= options.maximum_per_s)))
    sure = spread(np.where(known, deviation, np.inf), mask)
    volume = spread(np.maximum(np.nan_to_num(rate), 0), mask)
    if options.smoothing_s2 > 0 and known.any():
        volume = smooth_map(volume, sure, mask, voxel_size_mm, options.smoothing_s2, options.edge_per_s, report)
    np.clip(volume, 0, options.maximum_per_s, out=volume)
    return DecayFit(volume, clamped, method, sure)
