"""ROMEO: region growing along the most reliable edges.

Dymerska B, Eckstein K, et al. "Phase unwrapping with a rapid opensource minimum spanning tree
algorithm (ROMEO)". Magn Reson Med 85:2294 (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..progress import Reporter
from ..quantities import TWO_PI
from .echoes import check_echoes, wrap

#: Edge qualities, in the order of the paper's weights 1 to 4.
WEIGHTS = ("phase_coherence", "phase_gradient_coherence", "phase_linearity", "magnitude_coherence")

#: A region may be this many turns away from its seed's wrapped phase.
_MAXIMUM_TURNS = 2


@dataclass(frozen=True, kw_only=True)
class RomeoOptions:
    """Options of :func:`unwrap`.

    Parameters
    ----------
    template_echo : int
        Echo (from 0) that is unwrapped in space; the others follow in time.
    individual : bool
        Unwrap every echo in space. Slower; for phase whose offset at time zero was not removed.
    weights : tuple of str
        Qualities of an edge, of :data:`WEIGHTS`. Those that need a magnitude or a second echo
        are left out where there is none.
    correct_global : bool
        Shift every region by the multiple of 2π that brings its median nearest zero. Right for a
        single echo or individual echoes near resonance, wrong where the mean field turns the phase by more than π.
    """

    template_echo: int = 0
    individual: bool = False
    weights: tuple[str, ...] = WEIGHTS
    correct_global: bool = False


def unwrap(
    phase: Array,
    magnitude: Array | None,
    echo_times_s: Sequence[float],
    mask: Array,
    options: RomeoOptions,
    report: Reporter,
) -> Array:
    """Unwrap multi-echo phase.

    Every connected part of the mask is unwrapped. Where a second echo exists, each part is placed
    at the multiple of 2π (of at most two) at which both echoes tell the same field: the paper's
    rule for the seed voxel, taken over the whole part so that one noisy voxel cannot shift it.

    Parameters
    ----------
    phase : ndarray, shape (I, J, K, E)
        rad; proportional to the echo time unless ``options.individual``.
    magnitude : ndarray, shape (I, J, K, E), or None
        a.u.
    echo_times_s : sequence of float
        E times, s.
    mask : ndarray of bool, shape (I, J, K)
        What to unwrap. Voxels with NaN phase are left out.
    options : RomeoOptions
        See there.
    report : Reporter
        Progress.

    Returns
    -------
    ndarray of float32, shape (I, J, K, E)
        rad; differs from ``phase`` by multiples of 2π; 0 outside the mask.

    Raises
    ------
    InputError
        If the arrays do not belong together or an option is out of range.
    """
    _check(phase, magnitude, echo_times_s, mask, options)
    echoes = _Echoes.inside(phase, magnitude, echo_times_s, mask, options.weights)
    n_echoes, template = len(echo_times_s), options.template_echo
    report("unwrap", 0.0, f"echo {template + 1} of {n_echoes}")
    values = np.empty_like(echoes.wrapped)
    values[:, template] = _unwrap_template(echoes, template, options.correct_global)
    for done, echo in enumerate([*range(template + 1, n_echoes), *range(template - 1, -1, -1)], start=1):
        report("unwrap", done / n_echoes, f"echo {echo + 1} of {n_echoes}")
        nearer = echo - 1 if echo > template else echo + 1
        expected = values[:, nearer] * np.float32(echoes.time_ratio(echo, nearer))
        values[:, echo] = _unwrap_towards(echoes, echo, expected, options.individual)
    unwrapped = np.zeros(phase.shape, np.float32)
    unwrapped[echoes.mask] = values
    report("unwrap", 1.0)
    return unwrapped


def voxel_quality(phase: Array, magnitude: Array | None, echo_times_s: Sequence[float], mask: Array) -> Array:
    """Reliability of the first echo's phase: mean weight of a voxel's six edges.

    Parameters
    ----------
    phase, magnitude, echo_times_s, mask
        As for :func:`unwrap`; a mask of all voxels serves to find a mask.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        0 to 1; edges that leave the mask count as 0.

    Raises
    ------
    InputError
        If the arrays do not belong together.
    """
    check_echoes(phase, magnitude, echo_times_s, mask)
    costs = _Echoes.inside(phase, magnitude, echo_times_s, mask, WEIGHTS).edge_costs(0)
    weights = np.where(costs > 0, np.float32(1) - costs / np.float32(255), np.float32(0))
    quality = weights.sum(axis=0)
    for axis in range(3):
        behind = np.moveaxis(weights[axis], axis, 0)
        np.moveaxis(quality, axis, 0)[1:] += behind[:-1]
    return quality / np.float32(6)


@dataclass(frozen=True, eq=False)
class _Echoes:
    """Multi-echo volumes, their usable voxels, and the wrapped phase there, shape (N, E)."""

    phase: Array
    magnitude: Array | None
    echo_times_s: Sequence[float]
    mask: Array
    wrapped: Array
    weights: tuple[str, ...]

    @classmethod
    def inside(
        cls,
        phase: Array,
        magnitude: Array | None,
        echo_times_s: Sequence[float],
        mask: Array,
        weights: tuple[str, ...],
    ) -> _Echoes:
        """Take what lies inside the mask; voxels with NaN or infinite phase are left out."""
        wrapped = np.asarray(phase[mask], dtype=np.float32)
        finite = np.isfinite(wrapped).all(axis=1)
        if not finite.all():
            mask, wrapped = mask.copy(), wrapped[finite]
            mask[mask] = finite
        if not mask.any():
            raise InputError("phase", "no finite value inside the mask", "phase in rad")
        return cls(phase, magnitude, echo_times_s, mask, wrapped, weights)

    def time_ratio(self, echo: int, other: int) -> float:
        return self.echo_times_s[echo] / self.echo_times_s[other]

    def reference(self, echo: int) -> int | None:
        """Echo with which the gradients of another are compared."""
        if len(self.echo_times_s) == 1:
            return None
        return echo - 1 if echo > 0 else 1

    def edge_costs(self, echo: int) -> Array:
        """Costs of all edges, shape (3, I, J, K), uint8; 0 where there is no edge."""
        from ._kernels import edge_costs

        reference = self.reference(echo)
        have = {name: name in self.weights for name in WEIGHTS}
        have["phase_gradient_coherence"] &= reference is not None
        have["magnitude_coherence"] &= self.magnitude is not None
        empty = np.zeros(0, np.float32)
        costs = edge_costs(
            self.mask.shape,
            np.ravel(self.mask),
            _flat(self.phase[..., echo]),
            empty if reference is None else _flat(self.phase[..., reference]),
            np.float32(1 if reference is None else self.time_ratio(echo, reference)),
            empty if self.magnitude is None else _flat(self.magnitude[..., echo]),
            tuple(have.values()),
        )
        return np.asarray(costs).reshape(3, *self.mask.shape)

    def grow(self, echo: int) -> tuple[Array, Array]:
        """Phase unwrapped in space and the number of each voxel's region, both (N,) inside the mask."""
        from ._kernels import grow

        costs = self.edge_costs(echo).reshape(3, -1)
        values = _flat(self.phase[..., echo]).copy()
        regions = grow(values, costs, self.mask.shape, _seeds(costs, self.mask))
        inside = np.ravel(self.mask)
        return values[inside], regions[inside]


def _flat(volume: Array) -> Array:
    return np.ascontiguousarray(volume, dtype=np.float32).ravel()


def _seeds(costs: Array, mask: Array) -> Array:
    """Masked voxels, the one with the cheapest three forward edges first."""
    inside = np.flatnonzero(mask)
    score = np.where(costs == 0, 255, costs)[:, inside].sum(axis=0, dtype=np.uint16)
    return inside[np.argsort(score, kind="stable")]


def _unwrap_template(echoes: _Echoes, echo: int, correct_global: bool) -> Array:
    """Unwrap one echo in space and place each region, shape (N,)."""
    values, regions = echoes.grow(echo)
    reference = echoes.reference(echo)
    if reference is not None:
        values = values + _turns_of_same_field(values, regions, echoes, echo, reference)
    if correct_global:
        values = values + _median_turns(-values, regions)
    return values


def _unwrap_towards(echoes: _Echoes, echo: int, expected: Array, in_space: bool) -> Array:
    """Bring each voxel, or each region grown in space, next to the expected phase, shape (N,)."""
    if in_space:
        values, regions = echoes.grow(echo)
        return values + _median_turns(expected - values, regions)
    values = echoes.wrapped[:, echo]
    return values + _whole_turns(expected - values)


def _turns_of_same_field(values: Array, regions: Array, echoes: _Echoes, echo: int, reference: int) -> Array:
    """Multiple of 2π for each voxel by which its region agrees best with the reference echo."""
    ratio = np.float32(echoes.time_ratio(reference, echo))
    measured = echoes.wrapped[:, reference]
    candidates = sorted(range(-_MAXIMUM_TURNS, _MAXIMUM_TURNS + 1), key=abs)
    misfits = []
    for turns in candidates:
        misfit = np.abs(wrap(measured - ratio * (values + np.float32(TWO_PI * turns))))
        # The small term decides where the echo times leave the choice open.
        misfits.append(np.bincount(regions, misfit) / np.maximum(np.bincount(regions), 1) + abs(turns) / 100)
    best = np.asarray(candidates)[np.argmin(misfits, axis=0)]
    return (TWO_PI * best[regions]).astype(np.float32)


def _median_turns(difference: Array, regions: Array) -> Array:
    """Multiple of 2π for each voxel: the median of its region's difference in whole turns."""
    from scipy.ndimage import median

    present = np.unique(regions)
    medians = np.zeros(present[-1] + 1)
    medians[present] = np.rint(median(np.rint(difference / TWO_PI), regions, present))
    return (TWO_PI * medians[regions]).astype(np.float32)


def _whole_turns(difference: Array) -> Array:
    """Multiple of 2π nearest to a difference in rad."""
    return (TWO_PI * np.rint(difference / TWO_PI)).astype(np.float32)


def _check(
    phase: Array, magnitude: Array | None, echo_times_s: Sequence[float], mask: Array, options: RomeoOptions
) -> None:
    check_echoes(phase, magnitude, echo_times_s, mask)
    if not 0 <= options.template_echo < len(echo_times_s):
        raise InputError("template echo", options.template_echo, f"0 to {len(echo_times_s) - 1}")
    unknown = set(options.weights) - set(WEIGHTS)
    if unknown or not options.weights:
        raise InputError("ROMEO weights", options.weights, f"some of {', '.join(WEIGHTS)}")
