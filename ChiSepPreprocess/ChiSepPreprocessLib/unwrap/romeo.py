"""ROMEO: region growing along the most reliable edges.

Dymerska B, Eckstein K, et al. "Phase unwrapping with a rapid opensource minimum spanning tree
algorithm (ROMEO)". Magn Reson Med 85:2294 (2021).

An edge between two neighbours i and j, with step Δ = wrap(φ_j − φ_i), has the weight
w = Π (0.1 + 0.9 q) over the qualities in use:

1. phase coherence: 1 − |Δ|/π
2. phase gradient coherence: 1 − |Δ − Δ′ TE/TE′|, with another echo′
3. phase linearity: Π (1 − |second difference|/2) at both ends
4. magnitude coherence: (smaller/larger)²
5. magnitude: ½ + ½ min(1, smaller/(M/2)), M the 95 % quantile in the mask: little signal is bad
6. magnitude: ½ + ½ min(1, (M/2)/larger): flow makes too much signal
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..artifacts import Array
from ..box import Box, bounding_box
from ..errors import InputError
from ..progress import Reporter
from ..quantities import TWO_PI
from ..threads import in_slabs
from .echoes import check_echoes

#: Edge qualities, in the order of the paper's weights 1 to 6.
WEIGHTS = (
    "phase_coherence", "phase_gradient_coherence", "phase_linearity",
    "magnitude_coherence", "low_magnitude", "high_magnitude",
)  # fmt: skip
#: Combinations under the names of the published program.
PRESETS = {
    "romeo": WEIGHTS[:4],
    "romeo2": (WEIGHTS[0], WEIGHTS[3]),
    "romeo3": (WEIGHTS[0], WEIGHTS[1], WEIGHTS[3]),
    "romeo4": WEIGHTS[:4],
    "romeo6": WEIGHTS,
}

#: A region may be this many turns away from its seed's wrapped phase.
_MAXIMUM_TURNS = 2
#: Linearity looks this far beyond the mask.
_REACH = 2
_NONE = np.zeros(0, np.float32)


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
        Qualities of an edge, of :data:`WEIGHTS`, or names of :data:`PRESETS`. Those that need a
        magnitude or a second echo are left out where there is none.
    correct_global : bool
        Shift every region by the multiple of 2π that brings its median nearest zero. Right for a
        single echo or individual echoes near resonance, wrong where the mean field turns the phase by more than π.
    """

    template_echo: int = 0
    individual: bool = False
    weights: tuple[str, ...] = ("romeo",)
    correct_global: bool = False

    def __post_init__(self) -> None:
        if self.template_echo < 0:
            raise InputError("template echo", self.template_echo, "0 for the first, or more")
        _qualities(self.weights)


def unwrap(
    phase: Array,
    magnitude: Array | None,
    echo_times_s: Sequence[float],
    mask: Array,
    options: RomeoOptions,
    report: Reporter,
) -> Array:
    """Unwrap multi-echo phase.

    Every connected part of the mask is grown from a seed of its own, however many there are. Where
    a second echo exists, each part is placed at the multiple of 2π (of at most two) at which both
    echoes tell the same field: the paper's rule for the seed voxel, taken over the whole part so
    that one noisy voxel cannot shift it.

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
        If the arrays do not belong together or there is no such template echo.
    """
    check_echoes(phase, magnitude, echo_times_s, mask)
    if options.template_echo >= len(echo_times_s):
        raise InputError("template echo", options.template_echo, f"0 to {len(echo_times_s) - 1}")
    echoes = _Echoes.inside(phase, magnitude, echo_times_s, mask, options.weights)
    unwrapped = np.zeros(phase.shape, np.float32)
    report("unwrap", 0.0, f"echo {options.template_echo + 1} in space")
    template_values = _unwrap_template(echoes, options)
    report("unwrap", 1 / len(echo_times_s) if options.individual else 0.8, "other echoes")
    if options.individual:
        _unwrap_others_in_space(echoes, options.template_echo, template_values, unwrapped[echoes.box], report)
    else:
        _unwrap_others_in_time(echoes, options.template_echo, template_values, unwrapped[echoes.box])
    report("unwrap", 1.0)
    return unwrapped


def voxel_quality(phase: Array, magnitude: Array | None, echo_times_s: Sequence[float], mask: Array) -> Array:
    """Reliability of the first echo's phase: mean weight of a voxel's six edges, qualities 1 to 4.

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
    from ._kernels import mean_edge_weight

    check_echoes(phase, magnitude, echo_times_s, mask)
    # Two echoes are all that is read.
    pair, both = slice(None, 2), None if magnitude is None else magnitude[..., :2]
    echoes = _Echoes.inside(phase[..., pair], both, echo_times_s[pair], mask, ("romeo",))
    costs, _ = echoes.edge_costs(0)
    quality = np.zeros(mask.shape, np.float32)
    in_slabs(mean_edge_weight, echoes.mask.shape[0], costs, echoes.mask, quality[echoes.box])
    return quality


@dataclass(frozen=True, eq=False)
class _Echoes:
    """Multi-echo volumes in the box around the mask, and the voxels there that can be used."""

    phase: Array
    magnitude: Array | None
    echo_times_s: Sequence[float]
    mask: Array
    box: Box
    weights: frozenset[str]

    @classmethod
    def inside(
        cls,
        phase: Array,
        magnitude: Array | None,
        echo_times_s: Sequence[float],
        mask: Array,
        weights: tuple[str, ...],
    ) -> _Echoes:
        """Take the box around the mask; voxels with NaN or infinite phase are left out."""
        from ._kernels import keep_finite

        box = bounding_box(mask, _REACH)
        boxed_phase = np.asarray(phase[box], np.float32)
        boxed_magnitude = None if magnitude is None else np.asarray(magnitude[box], np.float32)
        usable = mask[box].copy(order="C")
        in_slabs(keep_finite, usable.shape[0], boxed_phase, usable)
        if not usable.any():
            raise InputError("phase", "no finite value inside the mask", "phase in rad")
        return cls(boxed_phase, boxed_magnitude, echo_times_s, usable, box, _qualities(weights))

    def time_ratio(self, echo: int, other: int) -> float:
        return self.echo_times_s[echo] / self.echo_times_s[other]

    def reference(self, echo: int) -> int | None:
        """Echo with which the gradients of another are compared."""
        if len(self.echo_times_s) == 1:
            return None
        return echo - 1 if echo > 0 else 1

    def edge_costs(self, echo: int) -> tuple[Array, Array]:
        """Costs of all edges, (3 N,) uint8, and the phase of this echo and its reference, (1 or 2, I, J, K)."""
        from ._kernels import edge_costs

        reference = self.reference(echo)
        phases = _volumes(self.phase, (echo,) if reference is None else (echo, reference))
        magnitude = _NONE if self.magnitude is None else _volumes(self.magnitude, (echo,)).ravel()
        use = self._use(reference is not None)
        typical = 0.5 * _upper_magnitude(magnitude[self.mask.ravel()]) if use[4] or use[5] else 1.0
        costs = np.zeros(3 * self.mask.size, np.uint8)
        in_slabs(
            edge_costs, self.mask.shape[0], self.mask, phases[0].ravel(),
            _NONE if reference is None else phases[1].ravel(),
            np.float32(1 if reference is None else self.time_ratio(echo, reference)),
            magnitude, np.float32(typical), use, costs,
        )  # fmt: skip
        return costs, phases

    def _use(self, has_reference: bool) -> tuple[bool, ...]:
        have = {name: name in self.weights for name in WEIGHTS}
        have["phase_gradient_coherence"] &= has_reference
        for name in WEIGHTS[3:]:
            have[name] &= self.magnitude is not None
        return tuple(have.values())

    def grow(self, echo: int) -> _Growth:
        """Unwrap one echo in space."""
        from ._kernels import grow, seed_scores

        costs, phases = self.edge_costs(echo)
        strides = (self.mask.shape[1] * self.mask.shape[2], self.mask.shape[2], 1)
        pending, regions = self.mask.ravel().copy(), np.zeros(self.mask.size, np.int32)
        inside = np.flatnonzero(pending)
        scores = seed_scores(costs, inside)
        # Nearly all masks are one piece: sorting the seeds is for what its growth has not reached.
        best = inside[np.argmin(scores)][None]
        number = grow(phases[0].ravel(), costs, strides, pending, best, regions, 1)
        left = pending[inside]
        if left.any():
            seeds = inside[left][np.argsort(scores[left], kind="stable")]
            number = grow(phases[0].ravel(), costs, strides, pending, seeds, regions, number)
        return _Growth(phases[0], phases[1:], regions.reshape(self.mask.shape), number)


@dataclass(frozen=True, eq=False)
class _Growth:
    """Phase unwrapped in space, the wrapped reference echo, the region of each voxel (from 1)."""

    values: Array
    reference: Array
    regions: Array
    n_numbers: int

    def turned(self, turns: Array) -> _Growth:
        """Add whole turns to each region, shape (n_numbers,)."""
        if not turns.any():
            return self
        return replace(self, values=self.values + np.float32(TWO_PI) * turns.astype(np.float32)[self.regions])


def _qualities(weights: tuple[str, ...]) -> frozenset[str]:
    """Names of qualities, with presets spelled out."""
    named = (weights,) if isinstance(weights, str) else weights
    if not named or set(named) - set(WEIGHTS) - set(PRESETS):
        raise InputError("ROMEO weights", weights, f"some of {', '.join((*WEIGHTS, *PRESETS))}")
    return frozenset(quality for name in named for quality in PRESETS.get(name, (name,)))


def _volumes(interleaved: Array, echoes: tuple[int, ...]) -> Array:
    """Some echoes of (I, J, K, E) as (len(echoes), I, J, K)."""
    from ._kernels import separate_echoes

    volumes = np.empty((len(echoes), *interleaved.shape[:3]), np.float32)
    in_slabs(separate_echoes, interleaved.shape[0], interleaved, echoes, volumes)
    return volumes


def _upper_magnitude(magnitude: Array) -> float:
    """The 95 % quantile of what is known, 1 where nothing is."""
    known = magnitude[magnitude > 0]
    return float(np.quantile(known, 0.95)) if known.size else 1.0


def _unwrap_template(echoes: _Echoes, options: RomeoOptions) -> Array:
    """Unwrap one echo in space and place each region, (I, J, K)."""
    growth = echoes.grow(options.template_echo)
    reference = echoes.reference(options.template_echo)
    if reference is not None:
        ratio = echoes.time_ratio(reference, options.template_echo)
        growth = growth.turned(_turns_of_same_field(growth, ratio))
    if options.correct_global:
        growth = growth.turned(_median_turns(-growth.values, growth))
    return growth.values


def _unwrap_others_in_time(echoes: _Echoes, template: int, template_values: Array, out: Array) -> None:
    from ._kernels import unwrap_in_time

    n_echoes = out.shape[3]
    nearer = [echo - (echo > template) + (echo < template) for echo in range(n_echoes)]
    ratios = np.asarray([echoes.time_ratio(echo, nearer[echo]) for echo in range(n_echoes)], np.float32)
    in_slabs(unwrap_in_time, out.shape[0], echoes.mask, template_values, ratios, template, echoes.phase, out)


def _unwrap_others_in_space(
    echoes: _Echoes, template: int, template_values: Array, out: Array, report: Reporter
) -> None:
    """Grow each echo and place its regions next to what the echo nearer the template predicts."""
    n_echoes = out.shape[3]
    np.copyto(out[..., template], template_values, where=echoes.mask)
    for done, echo in enumerate([*range(template + 1, n_echoes), *range(template - 1, -1, -1)], start=1):
        report("unwrap", done / n_echoes, f"echo {echo + 1} of {n_echoes}")
        nearer = echo - 1 if echo > template else echo + 1
        growth = echoes.grow(echo)
        expected = out[..., nearer] * np.float32(echoes.time_ratio(echo, nearer))
        placed = growth.turned(_median_turns(expected - growth.values, growth))
        np.copyto(out[..., echo], placed.values, where=echoes.mask)


def _turns_of_same_field(growth: _Growth, ratio: float) -> Array:
    """Turns of each region by which it agrees best with the reference echo, (n_numbers,)."""
    from ._kernels import misfit_of_turns

    misfit = misfit_of_turns(
        growth.values.ravel(), growth.reference[0].ravel(), np.float32(ratio), growth.regions.ravel(),
        _MAXIMUM_TURNS, growth.n_numbers,
    )  # fmt: skip
    turns = np.arange(-_MAXIMUM_TURNS, _MAXIMUM_TURNS + 1)
    # The small term decides where the echo times leave the choice open.
    return turns[np.argmin(misfit + np.abs(turns) / 100, axis=1)]


def _median_turns(difference: Array, growth: _Growth) -> Array:
    """Median of each region's difference in whole turns, (n_numbers,), by counting."""
    inside = growth.regions > 0
    turns = np.rint(difference[inside] / TWO_PI).astype(np.int64)
    lowest = turns.min()
    width = int(turns.max() - lowest) + 1
    bins = growth.regions[inside] * width + (turns - lowest)
    counts = np.bincount(bins, minlength=growth.n_numbers * width).reshape(growth.n_numbers, width).cumsum(axis=1)
    medians = np.argmax(2 * counts >= counts[:, -1:], axis=1) + lowest
    medians[0] = 0
    return medians
