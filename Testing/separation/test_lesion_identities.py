"""Identities through edits: split, merge, add and delete, one by one and together."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSeparationLib.lesions.identities import follow_edits, label_of, lesion_id_of
from ChiSeparationLib.lesions.reading import Lesion
from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.errors import InputError


def _row(*labels: int) -> Array:
    return np.array(labels).reshape(-1, 1, 1)


def _lesions(*numbers: int) -> list[Lesion]:
    return [Lesion(lesion_id=lesion_id_of(n), name=f"name {n}", place="left", volume_mm3=n) for n in numbers]


def test_untouched_lesions_stay_as_they_are_whatever_their_new_numbers() -> None:
    lesions = _lesions(1, 2)
    edits = follow_edits(_row(1, 1, 0, 2), _row(7, 7, 0, 3), lesions)
    assert dict(edits.lesions) == {3: lesions[1], 7: lesions[0]}
    assert not edits.inherits_from
    assert not edits.added
    assert not edits.merged
    assert not edits.deleted


def test_the_larger_part_of_a_split_keeps_the_identity_and_the_smaller_one_inherits() -> None:
    edits = follow_edits(_row(5, 5, 5, 5, 5), _row(1, 1, 0, 2, 2)[::-1].copy(), _lesions(5))
    assert edits.lesions[1].lesion_id == "Lesion_5"  # the lowest label of equals
    uneven = follow_edits(_row(5, 5, 5, 5, 5), _row(1, 0, 2, 2, 2), _lesions(5))
    assert uneven.lesions[2] == _lesions(5)[0]
    part = uneven.lesions[1]
    assert (part.lesion_id, part.came_from, part.place, part.name) == ("Lesion_6", ("Lesion_5",), "left", "")
    assert dict(uneven.inherits_from) == {"Lesion_6": "Lesion_5"}


def test_a_merge_keeps_the_largest_and_says_what_it_took_in() -> None:
    edits = follow_edits(_row(1, 1, 1, 0, 2, 3, 3), _row(4, 4, 4, 4, 4, 4, 4), _lesions(1, 2, 3))
    assert edits.lesions[4].lesion_id == "Lesion_1"
    assert edits.lesions[4].name == "name 1"
    assert edits.lesions[4].came_from == ("Lesion_2", "Lesion_3")
    assert dict(edits.merged) == {"Lesion_2": "Lesion_1", "Lesion_3": "Lesion_1"}
    assert not edits.deleted


def test_a_part_that_takes_in_a_small_lesion_is_neither_of_them() -> None:
    """Lesion 1 is cut, and its smaller half joins lesion 2, which is smaller still."""
    edits = follow_edits(_row(1, 1, 1, 1, 1, 2), _row(1, 1, 1, 2, 2, 2), _lesions(1, 2))
    assert edits.lesions[1].lesion_id == "Lesion_1"
    assert edits.lesions[2].lesion_id == "Lesion_3"
    assert edits.lesions[2].came_from == ("Lesion_1", "Lesion_2")
    assert dict(edits.merged) == {"Lesion_2": "Lesion_3"}
    assert dict(edits.inherits_from) == {"Lesion_3": "Lesion_1"}


def test_added_and_deleted_lesions() -> None:
    edits = follow_edits(_row(1, 0, 0, 2), _row(1, 0, 9, 0), _lesions(1, 2))
    assert edits.added == ("Lesion_3",)
    assert edits.deleted == ("Lesion_2",)
    assert not edits.inherits_from


def test_an_identity_is_never_given_again() -> None:
    first = follow_edits(_row(1, 0, 2), _row(1, 0, 0), _lesions(1, 2))
    again = follow_edits(_row(1, 0, 0), _row(1, 0, 2), list(first.lesions.values()), used_ids=first.used_ids)
    assert again.added == ("Lesion_3",)
    merged = follow_edits(_row(1, 1, 2), _row(1, 1, 1), _lesions(1, 2))
    split = follow_edits(_row(1, 1, 1), _row(1, 1, 2), list(merged.lesions.values()))
    assert split.lesions[2].lesion_id == "Lesion_3"  # 2 stands in came_from


def test_the_grid_gives_volume_and_centroid() -> None:
    grid = Grid((5, 1, 1), np.diag([-2.0, 1.0, 3.0, 1.0]))
    edits = follow_edits(_row(1, 1, 1, 0, 0), _row(1, 1, 0, 0, 4), _lesions(1), grid=grid)
    assert edits.lesions[1].volume_mm3 == pytest.approx(12.0)
    assert edits.lesions[1].centroid_ras_mm == pytest.approx((-1.0, 0.0, 0.0))
    assert edits.lesions[4].centroid_ras_mm == pytest.approx((-8.0, 0.0, 0.0))


def test_no_lesion_is_a_normal_state() -> None:
    nothing = follow_edits(_row(0, 0), _row(0, 0), [])
    assert not nothing.lesions
    assert follow_edits(_row(0, 0), _row(0, 3), []).added == ("Lesion_1",)
    assert follow_edits(_row(1, 1), _row(0, 0), _lesions(1)).deleted == ("Lesion_1",)


def test_three_hundred_lesions_shuffled_keep_their_identities() -> None:
    labels = np.repeat(np.arange(301), 5).reshape(7, 215, 1)
    numbers = np.concatenate([[0], np.random.default_rng(0).permutation(300) + 1])
    edits = follow_edits(labels, numbers[labels], _lesions(*range(1, 301)))
    assert all(edits.lesions[int(numbers[n])].lesion_id == lesion_id_of(n) for n in range(1, 301))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"as before the edit"):
        follow_edits(_row(1, 0), _row(1), _lesions(1))
    with pytest.raises(InputError, match=r"labels 2, 3"):
        follow_edits(_row(1, 2, 3), _row(1, 2, 3), _lesions(1))
    with pytest.raises(InputError, match="Lesion_12"):
        label_of("rim")
    with pytest.raises(InputError, match="Lesion_12"):
        label_of("Lesion_0")
