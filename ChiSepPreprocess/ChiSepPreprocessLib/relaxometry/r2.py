"""R2, the rate of the spin-echo decay, with or without the stimulated echoes that imperfect refocusing adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, check_volume
from ..errors import InputError
from ..progress import Reporter
from .decay import DecayFit, check_decay, fit_volume, log_linear, masked_samples, spread
from .dictionary import Dictionary, Floats, Mask, Train, fit_b1, fit_smooth_b1, match_rates
from .epg import SliceProfile, SubSlice, slice_profile

R2Method = Literal["auto", "epg", "dual-echo", "mono-exponential"]

#: An echo time may miss a multiple of the echo spacing by this share of it; headers round to 1 ms.
_SPACING_TOLERANCE = 0.1
_PLAUSIBLE_B1 = (0.2, 1.8)


@dataclass(frozen=True, kw_only=True)
class R2Options:
    """How R2 is fitted.

    Parameters
    ----------
    method : {"auto", "epg", "dual-echo", "mono-exponential"}
        ``"epg"``: dictionary of decays with stimulated echoes, R2 and B1 fitted to three or more echoes.
        ``"dual-echo"``: the same for two turbo spin echoes, at a B1 that is given, or 1. ``"auto"``:
        whichever of these the echo times allow, else ``"mono-exponential"``; the fit says which.
    maximum_per_s : float
        Larger rates are clamped to this, 1/s.
    skip_first_echo : bool
        Mono-exponential, with the first of three or more echoes left out: it lacks the stimulated echoes that
        the later ones carry. R2 is less biased so, and noisier.
    echo_spacing_s : float, optional
        Time from pulse to pulse of the train, s. A turbo spin echo needs it; a multi-echo spin echo
        has its first echo there.
    refocusing_angles_deg : tuple of float
        Nominal angle of each pulse, degrees; the last one stands for all that follow.
    t1_s : float
        s; R2 hardly depends on it.
    slice_profile : {"none", "gaussian", "sinc"}
        Angles across the slice; see :func:`.epg.slice_profile`.
    refocusing_slice_ratio : float
        Width of the refocused over that of the excited slice.
    sub_slices : tuple of (weight, excitation, refocusing)
        A known profile in place of ``slice_profile``; angles relative to the nominal ones.
    b1_smoothing_mm : float
        Standard deviation of the neighbourhood that shares one B1, mm; 0 fits B1 voxel by voxel.
    """

    method: R2Method = "auto"
    maximum_per_s: float = 100.0
    skip_first_echo: bool = False
    echo_spacing_s: float | None = None
    refocusing_angles_deg: tuple[float, ...] = (180.0,)
    t1_s: float = 1.2
    slice_profile: SliceProfile = "none"
    refocusing_slice_ratio: float = 1.0
    sub_slices: tuple[SubSlice, ...] = ()
    b1_smoothing_mm: float = 5.0

    def __post_init__(self) -> None:
        if self.method not in ("auto", "epg", "dual-echo", "mono-exponential"):
            raise InputError("R2 method", self.method, "auto, epg, dual-echo or mono-exponential")
        angles = self.refocusing_angles_deg
        if not angles or not all(0 < angle <= 360 for angle in angles):
            raise InputError("refocusing angles", f"{angles} degrees", "angles between 0 and 360 degrees")
        if not (self.echo_spacing_s is None or 1e-4 <= self.echo_spacing_s <= 1) or not 0 < self.t1_s <= 100:
            raise InputError("spin-echo train", f"spacing {self.echo_spacing_s} s, T1 {self.t1_s} s",
                             "a spacing from 0.0001 to 1 s, and T1 above 0 and up to 100 s")  # fmt: skip
        slice_profile(self.slice_profile, self.refocusing_slice_ratio)
        if any(weight < 0 or not np.isfinite((weight, *scales)).all() for weight, *scales in self.sub_slices):
            raise InputError("sub-slices", self.sub_slices, "finite numbers and weights of 0 or more")
        if self.sub_slices and not sum(weight for weight, *_ in self.sub_slices) > 0:
            raise InputError("sub-slices", self.sub_slices, "a weight above 0")
        if not 0 <= self.b1_smoothing_mm <= 100 or not 0 < self.maximum_per_s <= 1e5:
            raise InputError("R2 options", f"B1 smoothing {self.b1_smoothing_mm} mm, maximum {self.maximum_per_s} 1/s",
                             "a length from 0 to 100 mm and a positive rate up to 100000 1/s")  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class R2Fit(DecayFit):
    """R2 and what it rests on.

    Parameters
    ----------
    statement : str
        How the method was chosen, in words.
    b1 : ndarray, shape (I, J, K), optional
        Actual over nominal angle that was fitted or given; 0 outside the mask. Without a slice profile it is at
        most 180° over the nominal angle: beyond, echoes repeat themselves.
    warnings : tuple of str
        What the user should know.
    """

    statement: str
    b1: Array | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """Method, the train if it models one, and the words about both."""

    method: R2Method
    statement: str
    train: Train | None = None
    warnings: tuple[str, ...] = ()


def r2(
    se_magnitude: Array, echo_times_s: Sequence[float], mask: Mask, options: R2Options | None = None, *,
    voxel_size_mm: Sequence[float] | None = None, b1: Array | None = None, is_turbo: bool = False,
    report: Reporter | None = None,
) -> R2Fit:  # fmt: skip
    """R2 of a multi-echo or turbo spin echo.

    Parameters
    ----------
    se_magnitude : ndarray, shape (I, J, K, E)
        a.u.
    echo_times_s : sequence of float
        s; effective echo times of a turbo spin echo.
    mask : ndarray of bool, shape (I, J, K)
        Where to fit; 0 elsewhere.
    options : R2Options, optional
        Method, train and range.
    voxel_size_mm : sequence of float, optional
        mm; without it B1 is fitted voxel by voxel.
    b1 : ndarray, shape (I, J, K), optional
        Actual over nominal angle from a scan of its own; then R2 alone is fitted.
    is_turbo : bool
        Each image is filled from many echoes, the one at its effective echo time in the middle.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    R2Fit
        Rates in 1/s.

    Raises
    ------
    InputError
        If echoes are too few or do not suit the method, shapes disagree, or B1 is out of range.
    CancelledError
        If the caller asked to stop.
    """
    options = options or R2Options()
    times = np.asarray(echo_times_s, dtype=np.float64)
    plan = _plan(times, options, is_turbo=is_turbo, b1_given=b1 is not None)
    if plan.train is None:
        return _mono_exponential(se_magnitude, times, mask, options, plan, report)
    check_decay(se_magnitude, times.tolist(), mask, options.maximum_per_s)
    if b1 is not None:
        _check_b1(b1, mask)
    return _modelled(se_magnitude, mask, options, plan, plan.train, voxel_size_mm, b1, report or Reporter())


def _plan(times: NDArray[np.float64], options: R2Options, *, is_turbo: bool, b1_given: bool) -> _Plan:
    fewest = 3 if options.skip_first_echo else 2
    if times.ndim != 1 or times.size < fewest:
        raise InputError("spin echoes for R2", times.size, f"at least {fewest}",
                         "Without them R2′ can come from a constant pseudo-R2.")  # fmt: skip
    if options.method == "mono-exponential" or (options.method == "auto" and options.skip_first_echo):
        return _Plan("mono-exponential", "Mono-exponential, as asked: stimulated echoes are not modelled.")
    if options.method == "dual-echo" or (options.method == "auto" and times.size == 2):
        return _dual_echo_plan(times, options, is_turbo=is_turbo, b1_given=b1_given)
    return _epg_plan(times, options, is_turbo=is_turbo, b1_given=b1_given)


def _epg_plan(times: NDArray[np.float64], options: R2Options, *, is_turbo: bool, b1_given: bool) -> _Plan:
    asked = options.method == "epg"
    if times.size < 3 and not b1_given:
        raise InputError("spin echoes for R2 and B1", times.size, "at least 3", "Or give a B1 map.")
    spacing_s = options.echo_spacing_s or (None if is_turbo else float(times[0]))
    if spacing_s is None:
        if asked:
            raise InputError("echo spacing", "none", "that of the turbo train, in s", "Set echo_spacing_s.")
        return _unmodelled("the echo spacing of the turbo train is not known (set echo_spacing_s)")
    try:
        train = _train(times, spacing_s, options)
    except InputError as error:
        if asked:
            raise
        return _unmodelled(f"{error.quantity} are {error.got}, not {error.expected}")
    return _Plan("epg", f"Stimulated echoes modelled: echoes {_listed(train.echoes)} of a train with "
                 f"{1e3 * spacing_s:g} ms spacing.", train)  # fmt: skip


def _dual_echo_plan(times: NDArray[np.float64], options: R2Options, *, is_turbo: bool, b1_given: bool) -> _Plan:
    if times.size != 2:
        raise InputError("echoes for the dual-echo R2", times.size, "2")
    if options.echo_spacing_s is None:
        return _unmodelled(f"the echo spacing of the {'turbo ' * is_turbo}train is not known (set echo_spacing_s)")
    train = _train(times, options.echo_spacing_s, options)
    warnings = []
    if set(options.refocusing_angles_deg) == {180.0}:
        warnings.append("All refocusing angles are taken as 180°. R2 of a turbo spin echo depends on the actual angles "
                        "more than on anything else: give them (refocusing_angles_deg).")  # fmt: skip
    if not b1_given:
        warnings.append("No B1 map: R2 of the two turbo spin echoes is computed for B1 = 1 everywhere.")
    return _Plan("dual-echo", f"Two points of a modelled turbo train: echoes {_listed(train.echoes)}, "
                 f"{1e3 * options.echo_spacing_s:g} ms apart.", train, tuple(warnings))  # fmt: skip


def _unmodelled(reason: str) -> _Plan:
    text = f"R2 is mono-exponential, without stimulated-echo correction: {reason}."
    return _Plan("mono-exponential", text, warnings=(text,))


def _listed(echoes: Sequence[int]) -> str:
    return ", ".join(map(str, echoes))


def _train(times: NDArray[np.float64], spacing_s: float, options: R2Options) -> Train:
    """The train, if every echo time lies at one of its echoes."""
    places = times / spacing_s
    echoes = np.rint(places).astype(int)
    if not np.all(np.abs(places - echoes) <= _SPACING_TOLERANCE) or echoes[0] < 1 or np.any(np.diff(echoes) < 1):
        raise InputError("echo times", f"{_listed((times * 1e3).round(2).tolist())} ms",
                         f"increasing multiples of the echo spacing of {1e3 * spacing_s:g} ms")  # fmt: skip
    parts = options.sub_slices or slice_profile(options.slice_profile, options.refocusing_slice_ratio)
    return Train(
        echo_spacing_s=spacing_s, echoes=tuple(echoes.tolist()), refocusing_angles_deg=options.refocusing_angles_deg,
        t1_s=options.t1_s, sub_slices=parts,
    )  # fmt: skip


def _check_b1(b1: Array, mask: Mask) -> None:
    check_volume("B1 map", b1, mask.shape)
    lowest, highest = float(b1[mask].min()), float(b1[mask].max())
    if lowest < _PLAUSIBLE_B1[0] or highest > _PLAUSIBLE_B1[1]:
        raise InputError("B1 map", f"{lowest:g} to {highest:g} inside the mask",
                         f"actual over nominal angle, {_PLAUSIBLE_B1[0]} to {_PLAUSIBLE_B1[1]}",
                         "Divide per cent by 100 and fill holes first.")  # fmt: skip


def _mono_exponential(
    se_magnitude: Array, times: NDArray[np.float64], mask: Mask, options: R2Options, plan: _Plan,
    report: Reporter | None,
) -> R2Fit:  # fmt: skip
    first = 1 if options.skip_first_echo else 0
    fit = fit_volume(
        se_magnitude[..., first:], times[first:].tolist(), mask, log_linear, options.maximum_per_s, plan.method,
        report,
    )  # fmt: skip
    return R2Fit(
        rate_per_s=fit.rate_per_s, clamped_fraction=fit.clamped_fraction, method=plan.method,
        statement=plan.statement, warnings=plan.warnings,
    )  # fmt: skip


def _modelled(
    se_magnitude: Array, mask: Mask, options: R2Options, plan: _Plan, train: Train,
    voxel_size_mm: Sequence[float] | None, b1: Array | None, report: Reporter,
) -> R2Fit:  # fmt: skip
    samples = masked_samples(se_magnitude, mask)
    if b1 is None and plan.method == "epg" and options.b1_smoothing_mm > 0 and voxel_size_mm is None:
        plan = replace(plan, warnings=(*plan.warnings, "Voxel size not known: B1 is fitted voxel by voxel."))
    if b1 is not None:
        angles = b1[mask].astype(np.float64)
        dictionary = Dictionary.of(train, float(angles.min()), float(angles.max()))
    elif plan.method == "dual-echo":
        angles = np.ones(len(samples))
        dictionary = Dictionary.of(train, 1.0, 1.0)
    else:
        dictionary = Dictionary.of(train, *train.b1_range)
        angles = _fitted_b1(samples, mask, options.b1_smoothing_mm, dictionary, voxel_size_mm, report.span(0.0, 0.7))
    rates = match_rates(samples, dictionary, angles, report.span(0.7, 1.0))
    highest = min(options.maximum_per_s, dictionary.rates_per_s[-1])
    allowed = np.clip(rates, dictionary.rates_per_s[0], highest, dtype=np.float32)
    clamped = float(np.mean(allowed != rates))
    return R2Fit(
        rate_per_s=spread(np.nan_to_num(allowed), mask), clamped_fraction=clamped, method=plan.method,
        statement=plan.statement, b1=spread(angles, mask), warnings=plan.warnings,
    )  # fmt: skip


def _fitted_b1(
    samples: Floats, mask: Mask, smoothing_mm: float, dictionary: Dictionary, voxel_size_mm: Sequence[float] | None,
    report: Reporter,
) -> NDArray[np.float64]:  # fmt: skip
    if voxel_size_mm is None or smoothing_mm == 0:
        return fit_b1(samples, dictionary, report)
    return fit_smooth_b1(samples, mask, voxel_size_mm, smoothing_mm, dictionary, report)
