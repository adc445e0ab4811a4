"""Who is who after an edit: lesions keep identity and grades through split, merge, add and delete.

Every lesion after the edit has one parent: the lesion before it that shares the most voxels with it. Of several with
one parent (a split) the one that shares the most keeps the parent's identity; the others get new ones. A lesion before
that is nobody's parent was merged into the lesion that holds the most of it (a merge), or deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.errors import InputError

from .components import compact, whole_numbers
from .reading import Lesion

_PREFIX = "Lesion_"


@dataclass(frozen=True, kw_only=True)
class Edits:
    """What became of the lesions.

    Parameters
    ----------
    lesions : mapping of int to Lesion
        By the label in the map after the edit. What a lesion took in stands in its ``came_from``, with what it split
        from.
    inherits_from : mapping of str to str
        For each new identity that was split from another lesion, the lesion whose grades hold for it until it is read
        anew. Lesions that kept their identity keep their grades, and are not listed; added ones have none.
    added : tuple of str
        New identities that share no voxel with a lesion before.
    merged : mapping of str to str
        Identities that ended, and the one that each was merged into.
    deleted : tuple of str
        Identities that ended without a voxel left.
    used_ids : frozenset of str
        All identities ever used, for ``used_ids`` of the next call.
    """

    lesions: Mapping[int, Lesion]
    inherits_from: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    merged: Mapping[str, str] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    used_ids: frozenset[str] = frozenset()


def lesion_id_of(label: int) -> str:
    """Identity of the lesion with a number, such as ``Lesion_12``."""
    return f"{_PREFIX}{label}"


def label_of(lesion_id: str) -> int:
    """Number at the end of an identity, which is the lesion's label.

    Raises
    ------
    InputError
        If the identity does not end with a positive number.
    """
    found = re.search(r"([0-9]+)$", lesion_id)
    if found is None or int(found.group()) == 0:
        raise InputError("identity of a lesion", repr(lesion_id), f"a name like {lesion_id_of(12)}")
    return int(found.group())


def follow_edits(
    before: Array, after: Array, lesions: Sequence[Lesion], *, grid: Grid | None = None, used_ids: Iterable[str] = (),
) -> Edits:  # fmt: skip
    """Find out which lesion after an edit is which lesion before it.

    Parameters
    ----------
    before : ndarray of int, shape (I, J, K)
        Labels before the edit; lesion ``Lesion_12`` has the label 12.
    after : ndarray of int, shape (I, J, K)
        Labels after it, numbered in any way: only places decide. Connected parts of one label are one lesion.
    lesions : sequence of Lesion
        Those of ``before``.
    grid : Grid, optional
        Gives the lesions after the edit their volume and centroid; without it, those of lesions that kept their
        identity are left as they were, and new ones have none.
    used_ids : iterable of str
        Identities that ended in earlier edits, which are never given again; see :attr:`Edits.used_ids`.

    Returns
    -------
    Edits
        In which lesions are sorted by their label.

    Raises
    ------
    InputError
        If the maps differ in shape, hold no labels, or ``before`` holds a label that is no lesion's.
    """
    if before.shape != after.shape:
        raise InputError("edited lesions", f"shape {after.shape}", f"{before.shape}, as before the edit")
    known = {label_of(one.lesion_id): one for one in lesions}
    old, new = whole_numbers(before), whole_numbers(after)
    shared = _shared_voxels(old, new, known)
    numbers = [int(number) for number in np.unique(new[new > 0])]
    parents = {number: _most(counts) for number in numbers if (counts := shared.of_new(number))}
    kept = _keepers(parents, shared)
    used = {*used_ids, *chain.from_iterable((one.lesion_id, *one.came_from) for one in lesions)}
    fresh = _fresh_ids(used)
    ids = {number: known[parents[number]].lesion_id if number in kept else next(fresh) for number in numbers}
    ended = [label for label in known if label not in set(parents.values())]
    heirs = {label: _most(counts) for label in ended if (counts := shared.of_old(label))}
    taken_in = {
        number: tuple(known[label].lesion_id for label, heir in heirs.items() if heir == number) for number in numbers
    }
    found = {number: _lesion(ids[number], known.get(parents.get(number, 0)), taken_in[number]) for number in numbers}
    return Edits(
        lesions=found if grid is None else _measured(found, new, grid),
        inherits_from={ids[n]: known[parents[n]].lesion_id for n in numbers if n in parents and n not in kept},
        added=tuple(ids[number] for number in numbers if number not in parents),
        merged={known[label].lesion_id: ids[heir] for label, heir in heirs.items()},
        deleted=tuple(known[label].lesion_id for label in ended if label not in heirs),
        used_ids=frozenset({*used, *ids.values()}),
    )


@dataclass(frozen=True)
class _Shared:
    """Voxels that a label before and one after have in common, by (before, after)."""

    counts: Mapping[tuple[int, int], int]

    def of_new(self, number: int) -> dict[int, int]:
        return {old: count for (old, new), count in self.counts.items() if new == number}

    def of_old(self, label: int) -> dict[int, int]:
        return {new: count for (old, new), count in self.counts.items() if old == label}


def _shared_voxels(old: NDArray[np.int64], new: NDArray[np.int64], known: Mapping[int, Lesion]) -> _Shared:
    if strangers := sorted(set(np.unique(old[old > 0]).tolist()) - set(known)):
        raise InputError("lesions before the edit", f"labels {', '.join(map(str, strangers))}",
                         "labels that are each a lesion's number")  # fmt: skip
    both = (old > 0) & (new > 0)
    pairs, counts = np.unique(np.stack([old[both], new[both]]), axis=1, return_counts=True)
    return _Shared({(a, b): n for (a, b), n in zip(pairs.T.tolist(), counts.tolist(), strict=True)})


def _most(counts: Mapping[int, int]) -> int:
    """Label with the most voxels, the lowest of equals."""
    return min(counts, key=lambda label: (-counts[label], label))


def _keepers(parents: Mapping[int, int], shared: _Shared) -> set[int]:
    """Labels after the edit that keep their parent's identity."""
    children: dict[int, dict[int, int]] = {}
    for number, parent in parents.items():
        children.setdefault(parent, {})[number] = shared.counts[parent, number]
    return {_most(counts) for counts in children.values()}


def _fresh_ids(used: set[str]) -> Iterator[str]:
    """Identities beyond the highest ever used."""
    numbers = [int(found.group()) for one in used if (found := re.search(r"[0-9]+$", one))]
    highest = max(numbers, default=0)
    while True:
        highest += 1
        yield lesion_id_of(highest)


def _lesion(lesion_id: str, parent: Lesion | None, taken_in: tuple[str, ...]) -> Lesion:
    if parent is None:
        return Lesion(lesion_id=lesion_id, came_from=taken_in)
    if parent.lesion_id == lesion_id:
        return replace(parent, came_from=tuple(dict.fromkeys((*parent.came_from, *taken_in))))
    return Lesion(lesion_id=lesion_id, place=parent.place, came_from=(parent.lesion_id, *taken_in))


def _measured(found: Mapping[int, Lesion], labels: NDArray[np.int64], grid: Grid) -> dict[int, Lesion]:
    """Volume and centroid of each, from its voxels."""
    packed, used = compact(labels)
    indices = np.argwhere(packed)
    numbers = packed[tuple(indices.T)] - 1
    counts = np.bincount(numbers, minlength=used.size)
    sums = np.stack([np.bincount(numbers, axis, minlength=used.size) for axis in indices.T], axis=1)
    centres = (sums / counts[:, None]) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return {
        label: replace(
            found[label], volume_mm3=float(count * grid.voxel_volume_mm3), centroid_ras_mm=_as_triple(centre)
        )
        for label, count, centre in zip(used.tolist(), counts, centres, strict=True)
    }


def _as_triple(point: NDArray[np.float64]) -> tuple[float, float, float]:
    r, a, s = point.tolist()
    return r, a, s
