"""How far two raters agree: share, Cohen's κ and symmetry of their table, with intervals that know of patients.

Lesions of one patient are read alike, so that they tell less than as many independent ones. Beside the usual interval
stands one that draws patients, not lesions, anew (cluster bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError

#: Counts of pairs: rows are the first rater's classes, columns the second's.
Table = NDArray[np.int64]

#: How much a disagreement weighs in κ by its distance on the scale.
WEIGHTS = ("none", "linear", "quadratic")

_Statistic = Callable[[NDArray[Any]], NDArray[np.float64]]

NO_PAIRS = "There is no pair to compare."
ONE_CLASS = "Both raters used one class alone, the same; κ is not defined."
NO_DISAGREEMENT = "No pair disagrees, so that there is no spread to make an interval from."


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with what is known of its error.

    Parameters
    ----------
    value : float or None
        ``None`` if it is not defined.
    standard_error : float or None
        If the method gives one.
    low, high : float or None
        Confidence interval.
    note : str
        Why something is missing, or what to know about it.
    """

    value: float | None = None
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Symmetry:
    """McNemar-Bowker test of whether one rater leans to other classes than the other.

    Parameters
    ----------
    statistic : float
        χ² of the test.
    degrees_of_freedom : int
        Pairs of classes that were confused at all.
    p_value : float or None
        ``None`` if no pair disagrees.
    note : str
        Why there is no p-value, or why it is rough.
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """All that is said of one table.

    Parameters
    ----------
    pairs, agreed : int
        Counts.
    share : Estimate
        Share of pairs that agree, with Wilson's interval.
    share_by_patient : Estimate
        The same with the interval of the cluster bootstrap.
    kappa, kappa_by_patient : mapping of str to Estimate
        Cohen's κ for each of :data:`WEIGHTS`, with the asymptotic interval and with that of the cluster bootstrap.
    symmetry : Symmetry
        McNemar-Bowker test.
    level : float
        Of the confidence intervals.
    patients, resamples, seed : int
        Of the cluster bootstrap.
    """

    pairs: int
    agreed: int
    share: Estimate
    share_by_patient: Estimate
    kappa: Mapping[str, Estimate]
    kappa_by_patient: Mapping[str, Estimate]
    symmetry: Symmetry
    level: float
    patients: int
    resamples: int
    seed: int


def describe(tables: Table, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Statistics:
    """Compute all statistics of two raters' table.

    Parameters
    ----------
    tables : ndarray of int, shape (patients, classes, classes)
        One table for each patient. The order of patients changes the bootstrap's intervals within their noise.
    level : float
        Of the confidence intervals.
    resamples : int
        Draws of the bootstrap.
    seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        If a number cannot be used.
    """
    if not 0 < level < 1:
        raise InputError("confidence level", level, "a number between 0 and 1, such as 0.95")
    if resamples < 100:
        raise InputError("resamples of the bootstrap", resamples, "100 or more")
    table = tables.sum(axis=0)
    drawn = _drawn(tables, resamples, seed)
    return Statistics(
        pairs=int(table.sum()),
        agreed=int(np.trace(table)),
        share=wilson(int(np.trace(table)), int(table.sum()), level),
        share_by_patient=_by_patient(tables, drawn, _shares, level),
        kappa={weights: kappa(table, weights, level) for weights in WEIGHTS},
        kappa_by_patient={weights: _by_patient(tables, drawn, _kappa_with(weights), level) for weights in WEIGHTS},
        symmetry=symmetry(table),
        level=level,
        patients=len(tables),
        resamples=resamples,
        seed=seed,
    )


def wilson(agreed: int, total: int, level: float = 0.95) -> Estimate:
    """Share of pairs that agree, with Wilson's interval (J Am Stat Assoc 22:209, 1927).

    Examples
    --------
    >>> found = wilson(249, 250)
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 4)
    (0.996, 0.978, 0.9993)
    """
    if total == 0:
        return Estimate(note=NO_PAIRS)
    z, share = _quantile(level), agreed / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return Estimate(value=share, low=max(centre - half, 0.0), high=min(centre + half, 1.0))


def kappa(table: Table, weights: str = "none", level: float = 0.95) -> Estimate:
    r"""Cohen's κ with its large-sample standard error (Fleiss, Cohen and Everitt, Psychol Bull 72:323, 1969).

    With shares :math:`p_{ij}`, margins :math:`r_i, c_j` and weights :math:`w_{ij}` (1 where the raters agree),
    :math:`p_o = \sum w_{ij} p_{ij}`, :math:`p_e = \sum w_{ij} r_i c_j` and :math:`κ = (p_o - p_e) / (1 - p_e)`.

    Parameters
    ----------
    table : ndarray of int, shape (classes, classes)
        Counts.
    weights : str
        One of :data:`WEIGHTS`.
    level : float
        Of the confidence interval.

    Returns
    -------
    Estimate
        Without a value where κ is not defined.
    """
    total = int(table.sum())
    if total == 0:
        return Estimate(note=NO_PAIRS)
    value = float(_kappas(table, weights))
    if math.isnan(value):
        return Estimate(note=ONE_CLASS)
    if np.trace(table) == total:
        return Estimate(value=value, note=NO_DISAGREEMENT)
    agreement, p = 1.0 - _distances(weights, len(table)), table / total
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    expected = float(rows @ agreement @ columns)
    means = (agreement @ columns)[:, None] + (rows @ agreement)[None, :]
    spread = float((p * (agreement - means * (1 - value)) ** 2).sum()) - (value - expected * (1 - value)) ** 2
    error = math.sqrt(max(spread, 0.0) / total) / (1 - expected)
    half = _quantile(level) * error
    return Estimate(value=value, standard_error=error, low=max(value - half, -1.0), high=min(value + half, 1.0))


def symmetry(table: Table) -> Symmetry:
    """Test whether the table is symmetric (Bowker, J Am Stat Assoc 43:572, 1948).

    Pairs of classes that nobody confused count neither in the statistic nor in the degrees of freedom.
    """
    from scipy.stats import chi2

    upper = np.triu_indices(len(table), 1)
    one_way, other_way = table[upper].astype(float), table.T[upper].astype(float)
    both = one_way + other_way
    confused = both > 0
    freedom = int(np.count_nonzero(confused))
    if freedom == 0:
        return Symmetry(statistic=0.0, degrees_of_freedom=0, p_value=None, note="No pair disagrees.")
    statistic = float(((one_way - other_way)[confused] ** 2 / both[confused]).sum())
    rough = "The p-value is rough, as some classes were confused fewer than ten times."
    return Symmetry(
        statistic=statistic,
        degrees_of_freedom=freedom,
        p_value=float(chi2.sf(statistic, freedom)),
        note=rough if both[confused].min() < 10 else "",
    )


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _distances(weights: str, classes: int) -> NDArray[np.float64]:
    """How much each disagreement weighs: 0 on the diagonal, at most 1."""
    ranks = np.arange(classes)
    steps = np.abs(ranks[:, None] - ranks[None, :])
    if weights == "none":
        return (steps > 0).astype(float)
    if weights not in WEIGHTS:
        raise InputError("weights of kappa", repr(weights), f"one of {', '.join(WEIGHTS)}")
    return (steps / (classes - 1)) ** (2 if weights == "quadratic" else 1)


def _shares(tables: NDArray[Any]) -> NDArray[np.float64]:
    """Share of pairs that agree, of one or more tables; NaN where there is no pair."""
    agreed, total = np.trace(tables, axis1=-2, axis2=-1), tables.sum(axis=(-2, -1))
    return np.divide(agreed, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def _kappa_with(weights: str) -> _Statistic:
    return lambda tables: _kappas(tables, weights)


def _kappas(tables: NDArray[Any], weights: str) -> NDArray[np.float64]:
    """Cohen's κ of one or more tables; NaN where both raters used the same class alone, or there is no pair."""
    distances = _distances(weights, tables.shape[-1])
    total, rows, columns = tables.sum(axis=(-2, -1)), tables.sum(axis=-1), tables.sum(axis=-2)
    found = (distances * tables).sum(axis=(-2, -1)) * total
    expected = np.einsum("...i,ij,...j->...", rows, distances, columns)
    return 1.0 - np.divide(found, expected, out=np.full(np.shape(total), np.nan), where=expected > 0)


def _drawn(tables: Table, resamples: int, seed: int) -> Table:
    """Sums over patients drawn with replacement, shape (resamples, classes, classes)."""
    patients = len(tables)
    if patients < 2:  # nothing to draw from
        return np.zeros((0, *tables.shape[1:]), dtype=np.int64)
    draws = np.random.default_rng(seed).integers(0, patients, size=(resamples, patients))
    flat = (draws + patients * np.arange(resamples)[:, None]).ravel()
    times = np.bincount(flat, minlength=resamples * patients).reshape(resamples, patients)
    return np.tensordot(times, tables, axes=1)


def _by_patient(tables: Table, drawn: Table, statistic: _Statistic, level: float) -> Estimate:
    """The statistic of the whole with the percentile interval of the drawn tables."""
    table = tables.sum(axis=0)
    if not table.sum():
        return Estimate(note=NO_PAIRS)
    value = float(statistic(table))
    if math.isnan(value):
        return Estimate(note=ONE_CLASS)
    if len(tables) < 2:
        return Estimate(value=value, note="There are pairs of one patient alone, so that none can be drawn anew.")
    if np.trace(table) == table.sum():
        return Estimate(value=value, note=NO_DISAGREEMENT)
    found = statistic(drawn)
    defined = found[~np.isnan(found)]
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    lost = len(found) - len(defined)
    note = f"Not defined in {lost} of {len(found)} draws, which are left out." if lost else ""
    return Estimate(value=value, standard_error=float(defined.std(ddof=1)), low=float(low), high=float(high), note=note)
