r"""Which lesion of a later scan is which lesion of an earlier one, and whether its volume changed.

Lesions that share enough voxels belong together, and so do those that others connect: a match is a connected part of
the graph between the lesions of both times, with any number of lesions on each side (one, a split, a merge, both). A
lesion that shares nothing may still have been moved by the registration: of the lesions left over, the nearest ones
within ``tolerance_mm`` of each other are matched.

With volumes :math:`V` and their errors :math:`\sigma_V` (see :mod:`.volume_error`) the change in units of its error is

.. math:: z_V = \frac{V_2 - V_1}{\sqrt{\sigma_{V_1}^2 + \sigma_{V_2}^2}}

A match has grown from :math:`z_V` = ``volume_limit`` on, and shrunk from minus that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid, check_volume
from ChiSepPreprocessLib.errors import InputError

from .components import MINIMUM_VOLUME_MM3, compact, whole_numbers
from .volume_error import counted, volume_errors_mm3

Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: Rounding in the matrix does not decide at a limit itself.
_MARGIN = 1 + 1e-6


class Kind(Enum):
    """What became of a lesion."""

    NEW = "new"
    GONE = "gone"
    GROWN = "grown"
    SHRUNK = "shrunk"
    STABLE = "stable"
    UNSEEN = "not seen at both times"


@dataclass(frozen=True, kw_only=True)
class MatchOptions:
    """When lesions are the same, and when they have changed.

    Parameters
    ----------
    least_overlap : float
        Lesions belong together if they share more than this part of the smaller one.
    tolerance_mm : float
        Lesions without a partner are matched if voxels of both lie as near as this, mm (between centres).
    contour_error_mm : float
        How far out or in a contour is drawn from one time to another, SD, mm.
    volume_limit : float
        Change of a volume, in standard deviations of its error, from which on a lesion has grown or shrunk.
    minimum_volume_mm3 : float
        Matches whose volume exceeds this at neither time are left out, mm³.
    maximum_unseen_fraction : float
        A match with a larger share outside one scan is not judged.
    """

    least_overlap: float = 0.1
    tolerance_mm: float = 2.0
    contour_error_mm: float = 0.2
    volume_limit: float = 2.0
    minimum_volume_mm3: float = MINIMUM_VOLUME_MM3
    maximum_unseen_fraction: float = 0.2

    def __post_init__(self) -> None:
        if min(self.tolerance_mm, self.contour_error_mm, self.minimum_volume_mm3) < 0 or self.tolerance_mm > 10:
            raise InputError("options of the matching", self, "lengths and volumes ≥ 0, and a tolerance up to 10 mm")
        shares_fit = 0 <= self.least_overlap <= 0.3 and 0 <= self.maximum_unseen_fraction < 1
        if not shares_fit or not self.volume_limit > 0:
            raise InputError("options of the matching", self, "least_overlap from 0 to 0.3, maximum_unseen_fraction "
                             "from 0 to below 1 and volume_limit above 0")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LesionMatch:
    """Lesions of two times that are one.

    Parameters
    ----------
    label : int
        That of its largest lesion at the first time, or a new one beyond all of the first time.
    first, second : tuple of int
        Labels at each time, ascending; none of a new or a gone lesion.
    kind : Kind
        What became of it.
    volume_first_mm3, volume_second_mm3 : float
        Volume of all its parts.
    volume_error_mm3 : float
        Standard deviation of the error of the change.
    overlap_mm3 : float
        Volume inside at both times.
    unseen_first, unseen_second : float
        Share of it that lies outside the scan of that time.
    """

    label: int
    first: tuple[int, ...]
    second: tuple[int, ...]
    kind: Kind
    volume_first_mm3: float
    volume_second_mm3: float
    volume_error_mm3: float
    overlap_mm3: float
    unseen_first: float = 0.0
    unseen_second: float = 0.0

    @property
    def parts(self) -> str:
        """``one``, ``split``, ``merged`` or ``split and merged``."""
        split, merged = len(self.second) > 1, len(self.first) > 1
        return "split and merged" if split and merged else "split" if split else "merged" if merged else "one"

    @property
    def volume_change_mm3(self) -> float:
        """Later minus earlier."""
        return self.volume_second_mm3 - self.volume_first_mm3

    @property
    def volume_z(self) -> float:
        """Change in standard deviations of its error."""
        return self.volume_change_mm3 / self.volume_error_mm3 if self.volume_error_mm3 else 0.0


@dataclass(frozen=True, eq=False)
class Matches:
    """All matches of two label maps.

    Parameters
    ----------
    matches : tuple of LesionMatch
        By label.
    first, second : ndarray of int, shape (I, J, K)
        The match of each voxel at each time, by its label; small ones included.
    numbers : mapping of int to int
        For each label of the second time the number under which the first time knows it: of several parts the one that
        shares the most voxels goes on, the others are numbered anew.
    small : tuple of int
        Labels of matches that are too small to be listed.
    """

    matches: tuple[LesionMatch, ...]
    first: Labels
    second: Labels
    numbers: Mapping[int, int] = field(default_factory=dict)
    small: tuple[int, ...] = ()

    def renumbered(self, second: Array) -> Labels:
        """Labels of the second time, on any grid, under the first time's numbers; unmatched ones get new numbers."""
        packed, used = compact(whole_numbers(second))
        fresh = count(max((0, *self.numbers.values(), *np.unique(self.first).tolist())) + 1)
        return _named(packed, [self.numbers.get(int(label)) or next(fresh) for label in used])


def match_lesions(
    first: Array, second: Array, grid: Grid, options: MatchOptions | None = None, *,
    seen_first: Mask | None = None, seen_second: Mask | None = None,
) -> Matches:  # fmt: skip
    """Match the lesions of two times; the work grows linearly with the voxels.

    Parameters
    ----------
    first, second : ndarray of int, shape (I, J, K)
        One number for each lesion, 0 outside; the second registered to the first.
    grid : Grid
        Of both.
    options : MatchOptions, optional
        Distances and limits.
    seen_first, seen_second : ndarray of bool, shape (I, J, K), optional
        Where there was an image at that time; everywhere if absent.

    Returns
    -------
    Matches
        No lesion at one time or at both is a normal state.

    Raises
    ------
    InputError
        If the maps do not lie on the grid or hold no labels.
    """
    options = options or MatchOptions()
    for name, one in (("first lesions", first), ("second lesions", second)):
        check_volume(name, one, grid.shape)
    pair = _Pair(*compact(whole_numbers(first)), *compact(whole_numbers(second)))
    links = pair.links(options.least_overlap)
    links |= pair.near(links, grid, options.tolerance_mm)
    groups = _groups(links, pair.counts)
    labels = list(_labels(groups, pair))
    indices = [_indexed(groups, side, one) for side, one in enumerate((pair.old, pair.new))]
    seen = [np.ones(grid.shape, dtype=np.bool_) if one is None else one for one in (seen_first, seen_second)]
    found = _measured(groups, labels, indices, pair, seen, grid, options)
    limit_mm3 = options.minimum_volume_mm3 * _MARGIN
    large = [one for one in found if max(one.volume_first_mm3, one.volume_second_mm3) > limit_mm3]
    listed = {one.label for one in large}
    return Matches(
        matches=tuple(sorted(large, key=lambda one: one.label)),
        first=_named(indices[0], labels), second=_named(indices[1], labels),
        numbers=_numbers(groups, labels, pair, links),
        small=tuple(sorted(label for label in labels if label not in listed)),
    )  # fmt: skip


#: Numbers (1, 2, …) of the lesions that belong together, of the first and of the second time.
_Group = tuple[list[int], list[int]]


@dataclass(frozen=True, eq=False)
class _Pair:
    """Lesions of both times as 1, 2, …, with the labels that these stand for."""

    old: Labels
    old_labels: Labels
    new: Labels
    new_labels: Labels
    sizes: tuple[Labels, Labels] = field(init=False)
    shared: Mapping[tuple[int, int], int] = field(init=False)

    def __post_init__(self) -> None:
        sizes = [
            np.bincount(one.ravel(), minlength=n + 1) for one, n in zip((self.old, self.new), self.counts, strict=True)
        ]
        both = (self.old > 0) & (self.new > 0)
        pairs, counts = np.unique(np.stack([self.old[both], self.new[both]]), axis=1, return_counts=True)
        object.__setattr__(self, "sizes", tuple(sizes))
        object.__setattr__(
            self, "shared", {(a, b): n for (a, b), n in zip(pairs.T.tolist(), counts.tolist(), strict=True)}
        )

    @property
    def counts(self) -> tuple[int, int]:
        return self.old_labels.size, self.new_labels.size

    def links(self, least_overlap: float) -> dict[tuple[int, int], int]:
        """Pairs that share enough voxels, and how many."""
        old, new = self.sizes
        return {(a, b): n for (a, b), n in self.shared.items() if n > least_overlap * min(old[a], new[b])}

    def near(self, links: Iterable[tuple[int, int]], grid: Grid, tolerance_mm: float) -> dict[tuple[int, int], int]:
        """Of the lesions without a link the pairs within reach, the nearest first, each lesion once."""
        free = [sorted(set(range(1, n + 1)) - {link[side] for link in links}) for side, n in enumerate(self.counts)]
        found: dict[tuple[int, int], int] = {}
        if not (free[0] and free[1]):
            return found
        for a, b in self._by_distance(free, grid, tolerance_mm):
            if all(a != x and b != y for x, y in found):
                found[a, b] = self.shared.get((a, b), 0)
        return found

    def _by_distance(self, free: Sequence[Sequence[int]], grid: Grid, reach_mm: float) -> Iterator[tuple[int, int]]:
        """Pairs of free lesions, by how near their nearest voxels are."""
        places = np.argwhere(np.isin(self.old, free[0]))
        lesions, shape = self.old[tuple(places.T)], np.array(grid.shape)
        among = np.where(np.isin(self.new, free[1]), self.new, 0)
        for step in _steps(grid.voxel_size_mm, reach_mm):
            moved = places + step
            inside = np.all((moved >= 0) & (moved < shape), axis=1)
            met = among[tuple(moved[inside].T)]
            pairs = np.stack([lesions[inside][met > 0], met[met > 0]], axis=1)
            yield from ((int(a), int(b)) for a, b in np.unique(pairs, axis=0))


def _steps(voxel_size_mm: Sequence[float], reach_mm: float) -> NDArray[np.int64]:
    """Steps between voxels within a distance, the shortest first."""
    size, reach_mm = np.array(voxel_size_mm), reach_mm * _MARGIN
    reach = np.floor(reach_mm / size).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
    length = np.linalg.norm(steps * size, axis=1)
    order = np.argsort(length, kind="stable")
    return np.asarray(steps[order[length[order] <= reach_mm]])


def _groups(links: Iterable[tuple[int, int]], counts: tuple[int, int]) -> list[_Group]:
    """Connected parts of the graph of all lesions."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    old, new = counts
    ends = np.array(list(links), dtype=np.int64).reshape(-1, 2).T + np.array([[-1], [old - 1]])
    graph = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(old + new, old + new))
    number, parts = connected_components(graph, directed=False) if old + new else (0, np.zeros(0, int))
    groups: list[_Group] = [([], []) for _ in range(number)]
    for node, part in enumerate(parts.tolist()):
        groups[part][node >= old].append(node + 1 if node < old else node - old + 1)
    return groups


def _labels(groups: Sequence[_Group], pair: _Pair) -> Iterator[int]:
    """The label of each group's largest lesion at the first time; new ones for new lesions."""
    fresh = int(pair.old_labels.max(initial=0))
    for old, _ in groups:
        if old:
            yield int(pair.old_labels[max(old, key=lambda one: (pair.sizes[0][one], -one)) - 1])
        else:
            fresh += 1
            yield fresh


def _numbers(
    groups: Sequence[_Group], labels: Sequence[int], pair: _Pair, links: Mapping[tuple[int, int], int]
) -> dict[int, int]:
    """Label of the second time → number that it goes on with."""
    fresh = max(*labels, *pair.old_labels.tolist(), 0) if labels else 0
    found = {}
    for (old, new), label in zip(groups, labels, strict=True):
        parents = {b: _closest(old, {a: links.get((a, b), -1) for a in old}) for b in new} if old else {}
        keepers = {_closest(new, {b: links.get((a, b), -1) for b in new if parents[b] == a}) for a in parents.values()}
        for b in new:
            number = label if not old else int(pair.old_labels[parents[b] - 1])
            if old and b not in keepers:
                number = fresh = fresh + 1
            found[int(pair.new_labels[b - 1])] = number
    return found


def _closest(among: Sequence[int], shared: Mapping[int, int]) -> int:
    """The one that shares the most, the lowest of equals."""
    return max(among, key=lambda one: (shared.get(one, -2), -one))


def _indexed(groups: Sequence[_Group], side: int, packed: Labels) -> Labels:
    """The group of each voxel, from 1 on in the order of the groups; 0 outside."""
    table = np.zeros(int(packed.max(initial=0)) + 1, dtype=np.int64)
    for index, group in enumerate(groups, 1):
        table[group[side]] = index
    return np.asarray(table[packed])


def _named(packed: Labels, names: Sequence[int]) -> Labels:
    """Numbers 1, 2, … replaced by names."""
    return np.asarray(np.array([0, *names], dtype=np.int64)[packed])


def _measured(
    groups: Sequence[_Group], labels: Sequence[int], indices: Sequence[Labels], pair: _Pair, seen: Sequence[Mask],
    grid: Grid, options: MatchOptions,
) -> list[LesionMatch]:  # fmt: skip
    """Volumes, their errors and what follows of them, group by group."""
    number, voxel_mm3 = len(groups), grid.voxel_volume_mm3
    volumes = [counted(one, number) * voxel_mm3 for one in indices]
    errors = [volume_errors_mm3(one, number, grid, options.contour_error_mm) for one in indices]
    common = np.where(indices[0] == indices[1], indices[0], 0)
    overlap, error = counted(common, number) * voxel_mm3, np.hypot(*errors)
    total = volumes[0] + volumes[1] - overlap
    unseen = [_unseen(indices, common, one, number) * voxel_mm3 / total for one in seen]
    found = []
    for n, ((old, new), label) in enumerate(zip(groups, labels, strict=True)):
        z = float((volumes[1][n] - volumes[0][n]) / error[n])
        hidden = float(unseen[0][n]), float(unseen[1][n])
        kind = (
            Kind.UNSEEN if max(hidden) > options.maximum_unseen_fraction else _kind(old, new, z, options.volume_limit)
        )
        found.append(LesionMatch(
            label=label, first=tuple(int(pair.old_labels[a - 1]) for a in old),
            second=tuple(int(pair.new_labels[b - 1]) for b in new), kind=kind,
            volume_first_mm3=float(volumes[0][n]), volume_second_mm3=float(volumes[1][n]),
            volume_error_mm3=float(error[n]), overlap_mm3=float(overlap[n]),
            unseen_first=hidden[0], unseen_second=hidden[1],
        ))  # fmt: skip
    return found


def _unseen(indices: Sequence[Labels], common: Labels, seen: Mask, count: int) -> NDArray[np.int64]:
    """Voxels of either time that lie outside a scan."""
    first, second, both = (counted(one[~seen], count) for one in (*indices, common))
    return first + second - both


def _kind(old: Sequence[int], new: Sequence[int], z: float, limit: float) -> Kind:
    if not old or not new:
        return Kind.GONE if old else Kind.NEW
    return Kind.GROWN if z >= limit else Kind.SHRUNK if z <= -limit else Kind.STABLE
