"""Agreement of two raters on lesions: pipelines, readers, repeats, or a reader and the suggestion.

The tables are those of Kim et al. 2025 (Tables 2 and 3): five classes by five, one table for each map. Judgements are
paired by patient, lesion and map; what has no partner is listed, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ChiSepPreprocessLib.errors import InputError

from .agreement_statistics import Statistics, Table, describe
from .grades import Grade
from .raters import CHOICES, Known, Pair, Rater, Suggestions, answers_of, collect, complete, suggested_for
from .reading import GRADED_MAPS, Lesion, Reading

_GRADES = tuple(Grade)


@dataclass(frozen=True, kw_only=True)
class Discordant:
    """A lesion that the raters graded differently.

    Parameters
    ----------
    pair : Pair
        Which.
    lesion : Lesion
        Its name and place.
    first, second : Grade
        What each said.
    """

    pair: Pair
    lesion: Lesion
    first: Grade
    second: Grade

    @property
    def steps(self) -> int:
        """Distance on the scale of five classes, 1 to 4."""
        return abs(self.first.rank - self.second.rank)


@dataclass(frozen=True, kw_only=True)
class Unmatched:
    """Judgements that are in no table, and why.

    Parameters
    ----------
    only_first, only_second : tuple of Pair
        One rater has judged it, the other not.
    not_graded : tuple of Pair
        Both have, but one of them or both gave no grade.
    neither : tuple of Pair
        Lesions that nobody of the two has judged.
    gone : tuple of Pair
        Judged, but the lesion is not among the reading's: deleted or merged since, or never one of them.
    """

    only_first: tuple[Pair, ...] = ()
    only_second: tuple[Pair, ...] = ()
    not_graded: tuple[Pair, ...] = ()
    neither: tuple[Pair, ...] = ()
    gone: tuple[Pair, ...] = ()

    def __len__(self) -> int:
        return sum(len(pairs) for pairs in vars(self).values())


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two raters compared on one map.

    Parameters
    ----------
    map_name : str
        The map.
    first, second : Rater
        Rows and columns of the table.
    tables : mapping of str to ndarray of int, shape (5, 5)
        Counts for each patient with a pair, in the order of :class:`Grade`.
    statistics : Statistics
        Of the table.
    discordant : tuple of Discordant
        The farthest apart first.
    unmatched : Unmatched
        What is not in the table.
    pooled : mapping of str to tuple of str
        Of what was left open, the several values whose pairs the table takes together.
    """

    map_name: str
    first: Rater
    second: Rater
    tables: Mapping[str, Table]
    statistics: Statistics
    discordant: tuple[Discordant, ...]
    unmatched: Unmatched
    pooled: Mapping[str, tuple[str, ...]]

    @property
    def table(self) -> Table:
        """Counts of all patients, shape (5, 5): rows are the first rater's grades, brightest first."""
        return sum(self.tables.values(), _empty())


def agree(
    readings: Sequence[Reading],
    first: Rater,
    second: Rater,
    map_name: str,
    *,
    suggestions: Mapping[str, Suggestions] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Agreement:
    """Compare two raters on one map.

    What only one of them fixes holds for the other too: reader AB on pipeline x against reader CD compares both on x.
    What neither fixes must be the same in a pair, and pairs of all its values are taken together.

    Parameters
    ----------
    readings : sequence of Reading
        Of one or more patients; of a patient there may be several, such as one for each reader.
    first, second : Rater
        Rows and columns of the table.
    map_name : str
        One of :data:`.reading.GRADED_MAPS`.
    suggestions : mapping of str to mapping, optional
        For each patient, what was suggested; needed if a rater is the suggestion.
    level : float
        Of the confidence intervals.
    resamples, seed : int
        Of the bootstrap over patients.

    Returns
    -------
    Agreement
        Without numbers, but with the reasons, if there is no pair.

    Raises
    ------
    InputError
        If a rater has no judgement at all, both are the same, or the readings contradict each other.
    """
    if map_name not in GRADED_MAPS:
        raise InputError("map to compare", repr(map_name), " or ".join(GRADED_MAPS))
    known = collect(readings)
    first, second = complete(first, second)
    one, other = ({} if rater.suggested else answers_of(rater, known, map_name) for rater in (first, second))
    if first.suggested:
        one = suggested_for(other, second, known, suggestions or {}, map_name)
    if second.suggested:
        other = suggested_for(one, first, known, suggestions or {}, map_name)
    there = [pair for pair in sorted(one.keys() | other.keys()) if known.has(pair)]
    graded = {pair: (a, b) for pair in there if (a := one.get(pair)) and (b := other.get(pair))}
    tables = _tables(graded)
    stacked = np.array([*tables.values()], dtype=np.int64).reshape(-1, len(_GRADES), len(_GRADES))
    return Agreement(
        map_name=map_name,
        first=first,
        second=second,
        tables=tables,
        statistics=describe(stacked, level=level, resamples=resamples, seed=seed),
        discordant=_discordant(graded, known),
        unmatched=_unmatched(one, other, there, known),
        pooled=_pooled(graded),
    )


def _tables(graded: Mapping[Pair, tuple[Grade, Grade]]) -> dict[str, Table]:
    """By patient, in their order."""
    tables: dict[str, Table] = {}
    for pair, (first, second) in graded.items():
        tables.setdefault(pair.patient, _empty())[_GRADES.index(first), _GRADES.index(second)] += 1
    return tables


def _empty() -> Table:
    return np.zeros((len(_GRADES), len(_GRADES)), dtype=np.int64)


def _discordant(graded: Mapping[Pair, tuple[Grade, Grade]], known: Known) -> tuple[Discordant, ...]:
    found = [
        Discordant(pair=pair, lesion=known.lesion(pair), first=one, second=other)
        for pair, (one, other) in graded.items() if one is not other
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one.steps, one.pair)))


def _unmatched(
    one: Mapping[Pair, Grade | None], other: Mapping[Pair, Grade | None], there: Sequence[Pair], known: Known
) -> Unmatched:
    asked = {pair[:2] for pair in (*one, *other)}
    return Unmatched(
        only_first=tuple(pair for pair in there if pair not in other),
        only_second=tuple(pair for pair in there if pair not in one),
        not_graded=tuple(pair for pair in there if pair in one and pair in other and not (one[pair] and other[pair])),
        neither=tuple(Pair(*place) for place in sorted(known.lesions.keys() - asked)),
        gone=tuple(sorted((one.keys() | other.keys()) - set(there))),
    )


def _pooled(pairs: Collection[Pair]) -> dict[str, tuple[str, ...]]:
    values = {name: sorted({getattr(pair, name) for pair in pairs}) for name in CHOICES}
    return {name: tuple(map(str, several)) for name, several in values.items() if len(several) > 1}
