"""Nonlinear fits of the decay A·F(t)·exp(−R2*·t): least squares, and maximum likelihood under Rician noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..progress import Reporter
from ..threads import in_slabs
from .decay import VOXELS, Floats

#: Voxels from which the noise is estimated; their share of F lost at the last echo is at most this.
_NOISE_VOXELS, _CALM = 100_000, 0.02
#: Relative error of 1 − F, from slopes that change within the voxel (found on simulated heads).
_DOUBT = 0.3
#: No noise is smaller than this share of the signal; keeps exact data from dividing by zero.
_LEAST_NOISE = 1e-6


@dataclass(frozen=True, eq=False)
class NonlinearFit:
    """What :func:`fit_decay` found, for each voxel.

    Parameters
    ----------
    rate_per_s, deviation_per_s : ndarray of float32, shape (N,)
        R2* and its standard deviation, 1/s: the Cramér-Rao bound, and what the doubt about the field's slope
        adds. NaN where the samples hold no rate.
    misfit : ndarray of float32, shape (N,)
        Sum over echoes of the squared residual, weighted as the fit weights the echoes.
    """

    rate_per_s: Floats
    deviation_per_s: Floats
    misfit: Floats


def fit_decay(
    samples: Floats,
    echo_times_s: NDArray[np.float64],
    noise_sigma: float,
    spread_hz: Floats | None = None,
    *,
    rician: bool = True,
    highest_per_s: float = 1000.0,
    report: Reporter | None = None,
) -> NonlinearFit:
    """Fit amplitude and rate of every voxel by Gauss-Newton steps from the log-linear fit.

    An echo's weight is 1/(σ² + (u·A·exp(−R2* t))²), where u = 0.3·(1 − F) is how well the loss F by the
    field's slope is known: echoes that the slope has all but wiped out count little.

    Parameters
    ----------
    samples : ndarray of float32, shape (N, E)
        Magnitude.
    echo_times_s : ndarray, shape (E,)
        s.
    noise_sigma : float
        Standard deviation σ of the noise in each of the two channels, in units of the magnitude.
    spread_hz : ndarray of float32, shape (N, 3), optional
        The field's difference across the voxel (:func:`.gradient.field_spread_hz`), Hz.
    rician : bool
        Maximum likelihood of the Rice distribution (Sijbers et al., IEEE TMI 1998;17:357), without the bias
        of the noise floor; else least squares.
    highest_per_s : float
        Rates stay within ± this, 1/s.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    NonlinearFit
        Rates are not clamped to ≥ 0.

    Raises
    ------
    CancelledError
        If the caller asked to stop.
    """
    from ._decay_kernels import nonlinear

    spread = np.empty((0, 3), dtype=np.float32) if spread_hz is None else spread_hz
    noise = max(noise_sigma, _LEAST_NOISE * float(np.abs(samples).mean()), float(np.finfo(np.float32).tiny))
    rate, deviation, misfit = (np.empty(len(samples), dtype=np.float32) for _ in range(3))
    in_slabs(nonlinear, len(samples), samples, spread, echo_times_s, noise, rician, _DOUBT, highest_per_s,
             rate, deviation, misfit, thickness=VOXELS, report=report, step="decay")  # fmt: skip
    return NonlinearFit(rate, deviation, misfit)


def estimate_noise(samples: Floats, echo_times_s: NDArray[np.float64], spread_hz: Floats | None = None) -> float:
    """Noise in each channel from the residuals of least squares: the median over voxels, so that few misfits count.

    The squared residuals of E echoes and two parameters are σ² times χ² of E − 2 degrees of freedom. Voxels
    that lose more than 2 % of the signal to the field's slope are left out while others remain.

    Parameters
    ----------
    samples : ndarray of float32, shape (N, E)
        Magnitude, E ≥ 3, most of it well above the noise.
    echo_times_s : ndarray, shape (E,)
        s.
    spread_hz : ndarray of float32, shape (N, 3), optional
        The field's difference across the voxel, Hz.

    Returns
    -------
    float
        In units of the magnitude.
    """
    from scipy.stats import chi2

    chosen = np.arange(len(samples))
    if spread_hz is not None:
        loss = np.sum((np.pi * echo_times_s[-1] * spread_hz) ** 2, axis=1) / 6
        chosen = np.flatnonzero(loss < _CALM) if np.any(loss < _CALM) else chosen
    kept = chosen[:: max(1, chosen.size // _NOISE_VOXELS)]
    misfit = fit_decay(samples[kept], echo_times_s, 0.0, rician=False).misfit
    known = misfit[np.isfinite(misfit)]
    return float(np.sqrt(np.median(known) / chi2.median(echo_times_s.size - 2))) if known.size else 0.0
