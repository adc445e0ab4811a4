"""R2, the rate of the spin-echo decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..artifacts import Array
from ..errors import InputError
from .decay import DecayFit, fit_volume, log_linear


@dataclass(frozen=True, kw_only=True)
class R2Options:
    """How R2 is fitted.

    Parameters
    ----------
    maximum_per_s : float
        Larger rates are clamped to this, 1/s.
    skip_first_echo : bool
        Leave the first of three or more echoes out. In a multi-echo train with imperfect refocusing
        the first echo lacks the stimulated echoes that the later ones carry; without it R2 is
        less biased and noisier.
    """

    maximum_per_s: float = 100.0
    skip_first_echo: bool = False


def r2(se_magnitude: Array, echo_times_s: Sequence[float], mask: Array, options: R2Options | None = None) -> DecayFit:
    """R2 of a spin echo, mono-exponential: stimulated echoes are not modelled.

    Parameters
    ----------
    se_magnitude : ndarray, shape (I, J, K, E)
        a.u.
    echo_times_s : sequence of float
        s; two echoes give the two-point rate.
    mask : ndarray of bool, shape (I, J, K)
        Where to fit; 0 elsewhere.
    options : R2Options, optional
        Range and choice of echoes.

    Returns
    -------
    DecayFit
        Rates in 1/s.

    Raises
    ------
    InputError
        If fewer than two echoes are left, or shapes disagree.
    """
    options = options or R2Options()
    first = 1 if options.skip_first_echo else 0
    if len(echo_times_s) - first < 2:
        raise InputError("spin echoes for R2", len(echo_times_s), f"at least {2 + first}",
                         "Without them R2′ can come from a constant pseudo-R2.")  # fmt: skip
    return fit_volume(
        se_magnitude[..., first:], echo_times_s[first:], mask, log_linear, options.maximum_per_s, "loglinear"
    )
