"""Lesions of two times: which is which, and whether they grew, on shapes of known volume."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ChiSeparationLib.lesions.matching import Kind, LesionMatch, Matches, MatchOptions, match_lesions
from ChiSeparationLib.lesions.volume_error import volume_errors_mm3
from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.errors import InputError

SHAPE = (48, 40, 24)


def _grid() -> Grid:
    """Oblique and anisotropic, 0.9 × 1.0 × 1.5 mm."""
    turn, tilt = np.deg2rad(25.0), np.deg2rad(-12.0)
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag((0.9, 1.0, 1.5))
    affine[:3, 3] = (-20.0, 31.0, 7.0)
    return Grid(SHAPE, affine)


GRID = _grid()
_PLACES = np.einsum("ab,bijk->ijka", GRID.affine[:3, :3], np.indices(SHAPE)) + GRID.affine[:3, 3]


def _point(i: float, j: float, k: float) -> Array:
    return GRID.affine[:3, :3] @ (i, j, k) + GRID.affine[:3, 3]


def _spheres(*spheres: tuple[int, Array, float]) -> Array:
    """Labels of spheres (label, centre in RAS mm, radius in mm)."""
    labels = np.zeros(SHAPE, dtype=np.int32)
    for label, centre, radius in spheres:
        labels[np.sum((_PLACES - centre) ** 2, axis=-1) <= radius**2] = label
    return labels


def _only(found: Matches) -> LesionMatch:
    (one,) = found.matches
    return one


A, B, C = _point(12, 10, 12), _point(36, 10, 12), _point(12, 30, 12)
ALONG_I = GRID.affine[:3, 0] / 0.9


def test_new_gone_and_stable_lesions() -> None:
    found = match_lesions(_spheres((4, A, 4), (2, B, 4)), _spheres((1, A, 4), (9, C, 4)), GRID)
    assert [(one.label, one.first, one.second, one.kind) for one in found.matches] == [
        (2, (2,), (), Kind.GONE), (4, (4,), (1,), Kind.STABLE), (5, (), (9,), Kind.NEW),
    ]  # fmt: skip
    assert dict(found.numbers) == {1: 4, 9: 5}
    assert found.matches[1].volume_z == 0
    assert found.matches[1].parts == "one"


@pytest.mark.parametrize(
    ("before_mm", "after_mm", "kind"),
    [(4.0, 4.3, Kind.STABLE), (4.0, 5.2, Kind.GROWN), (5.2, 4.0, Kind.SHRUNK), (3.0, 3.3, Kind.STABLE)],
)
def test_spheres_that_change_by_known_volumes(before_mm: float, after_mm: float, kind: Kind) -> None:
    centre = A + np.array((0.31, 0.22, 0.45))  # no voxel's centre
    one = _only(match_lesions(_spheres((1, centre, before_mm)), _spheres((1, centre, after_mm)), GRID))
    volumes = [4 / 3 * np.pi * radius**3 for radius in (before_mm, after_mm)]
    assert one.kind is kind
    assert [one.volume_first_mm3, one.volume_second_mm3] == pytest.approx(volumes, rel=0.05)
    assert one.overlap_mm3 == pytest.approx(min(one.volume_first_mm3, one.volume_second_mm3))
    assert one.volume_z == pytest.approx(one.volume_change_mm3 / one.volume_error_mm3)
    # Surfaces of smooth spheres; faces count within a few per cent of 3/2 of them.
    areas = [4 * np.pi * radius**2 for radius in (before_mm, after_mm)]
    crossed = [np.pi * radius**2 * 2 * (0.9 + 1.0 + 1.5) / 1.35 for radius in (before_mm, after_mm)]
    expected = [np.hypot(0.2 * area, 1.35 * np.sqrt(n / 12)) for area, n in zip(areas, crossed, strict=True)]
    assert one.volume_error_mm3 == pytest.approx(np.hypot(*expected), rel=0.06)


def test_the_limit_of_growth_is_an_option() -> None:
    maps = _spheres((1, A, 4.0)), _spheres((1, A, 4.6))
    z = _only(match_lesions(*maps, GRID)).volume_z
    for limit, kind in ((z * 0.99, Kind.GROWN), (z * 1.01, Kind.STABLE)):
        assert _only(match_lesions(*maps, GRID, MatchOptions(volume_limit=limit))).kind is kind
    exact = _only(match_lesions(*maps, GRID, MatchOptions(contour_error_mm=0.0)))
    assert exact.volume_z > 2 * z


def test_the_error_of_rounding_is_that_of_spheres_at_random_places() -> None:
    """The same sphere, laid on the grid at 400 places: the spread of its voxel counts is the equation's first term.

    The equation takes the crossed voxels for independent; those of a smooth sphere are so within the given band.
    """
    rng, grid, radius = np.random.default_rng(5), Grid((16, 16, 16), np.eye(4)), 4.5
    index = np.moveaxis(np.indices((16, 16, 16)), 0, -1)
    inside = [np.sum((index - rng.uniform(7, 8, 3)) ** 2, axis=-1) <= radius**2 for _ in range(400)]
    measured = np.std([np.count_nonzero(one) for one in inside])
    predicted = np.mean([volume_errors_mm3(one.astype(np.int64), 1, grid, 0.0)[0] for one in inside[:40]])
    assert measured == pytest.approx(predicted, rel=0.15)


def test_a_contour_drawn_too_far_out_is_what_the_second_term_says() -> None:
    grid, index = Grid((40, 40, 40), np.eye(4)), np.moveaxis(np.indices((40, 40, 40)), 0, -1)
    distance = np.linalg.norm(index - 19.5, axis=-1)
    error = volume_errors_mm3((distance <= 12).astype(np.int64), 1, grid, 0.3)[0]
    assert error == pytest.approx(4 * np.pi * 12**2 * 0.3, rel=0.015)


def test_a_split_keeps_the_number_in_its_larger_part() -> None:
    parts = _spheres((7, A - 4 * ALONG_I, 2.5), (3, A + 3 * ALONG_I, 3.2))
    found = match_lesions(_spheres((1, A, 7.0)), parts, GRID)
    one = _only(found)
    assert (one.label, one.first, one.second, one.parts, one.kind) == (1, (1,), (3, 7), "split", Kind.SHRUNK)
    assert dict(found.numbers) == {3: 1, 7: 2}
    assert set(np.unique(found.renumbered(parts))) == {0, 1, 2}
    assert np.array_equal(found.renumbered(parts) == 1, parts == 3)
    assert np.array_equal(found.second > 0, parts > 0)


def test_a_merge_goes_on_as_its_largest() -> None:
    apart = _spheres((1, A - 5 * ALONG_I, 2.5), (2, A + 3 * ALONG_I, 4.0))
    joined = np.where(apart > 0, 6, _spheres((6, A, 3.0)))
    one = _only(match_lesions(apart, joined, GRID))
    assert (one.label, one.first, one.second, one.parts) == (2, (1, 2), (6,), "merged")
    assert dict(match_lesions(apart, joined, GRID).numbers) == {6: 2}


def test_a_chain_of_splits_and_merges_is_one_match() -> None:
    before, after = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    before[4:14, 5:9, 5:9], before[16:26, 5:9, 5:9] = 1, 2
    after[4:8, 5:9, 5:9], after[10:20, 5:9, 5:9], after[22:26, 5:9, 5:9] = 1, 2, 3
    found = match_lesions(before, after, GRID)
    one = _only(found)
    assert (one.first, one.second, one.parts) == ((1, 2), (1, 2, 3), "split and merged")
    assert dict(found.numbers) == {1: 1, 2: 3, 3: 2}  # equals go to the lowest label


def test_lesions_moved_by_the_registration_are_matched_within_the_tolerance() -> None:
    before = np.zeros(SHAPE, np.int32)
    before[10:14, 10:14, 10:13] = 1  # 64 mm³
    after = np.roll(before, 5, axis=0)  # nearest voxels 2 × 0.9 mm apart
    assert _only(match_lesions(before, after, GRID)).kind is Kind.STABLE
    kinds = {one.kind for one in match_lesions(before, after, GRID, MatchOptions(tolerance_mm=1.7)).matches}
    assert kinds == {Kind.GONE, Kind.NEW}
    along_k = np.roll(before, 4, axis=2)  # 2 × 1.5 mm apart
    assert len(match_lesions(before, along_k, GRID).matches) == 2
    assert len(match_lesions(before, along_k, GRID, MatchOptions(tolerance_mm=3.0)).matches) == 1


def test_a_new_lesion_beside_a_known_one_is_new() -> None:
    before, after = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    before[10:16, 10:16, 10:14] = 1
    after[10:16, 10:16, 10:14], after[17:21, 10:16, 10:14] = 1, 2
    assert [one.kind for one in match_lesions(before, after, GRID).matches] == [Kind.STABLE, Kind.NEW]
    touched = after.copy()  # the registration's error lets it share 4 of its 96 voxels with the known one
    touched[16:17, 10:16, 10:14], before[16:17, 10:11, 10:14] = 2, 1
    assert [one.kind for one in match_lesions(before, touched, GRID).matches] == [Kind.STABLE, Kind.NEW]


def test_the_nearest_of_two_is_the_same_lesion() -> None:
    before, after = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    before[10:14, 10:14, 10:13] = 1
    after[15:19, 10:14, 10:13], after[6:9, 10:14, 10:13] = 1, 2  # 1.8 mm and 1.8 mm; then 0.9 mm
    after[9:10, 10:14, 10:13] = 2
    found = match_lesions(before, after, GRID)
    assert [(one.first, one.second) for one in found.matches] == [((1,), (2,)), ((), (1,))]


def test_what_one_scan_does_not_show_is_not_called_gone() -> None:
    seen = np.ones(SHAPE, dtype=np.bool_)
    seen[:15] = False
    found = match_lesions(_spheres((1, A, 4), (2, B, 4)), _spheres((1, B, 4)), GRID, seen_second=seen)
    assert [one.kind for one in found.matches] == [Kind.UNSEEN, Kind.STABLE]
    first = found.matches[0]
    inside = _spheres((1, A, 4)) > 0
    assert first.unseen_second == pytest.approx(np.count_nonzero(inside & ~seen) / np.count_nonzero(inside))
    assert first.unseen_first == 0


def test_small_lesions_count_once_they_have_grown() -> None:
    found = match_lesions(_spheres((1, A, 1.6), (2, B, 1.6)), _spheres((1, A, 3.0)), GRID)
    one = _only(found)
    assert one.volume_first_mm3 < 20 < one.volume_second_mm3
    assert one.kind is Kind.GROWN
    assert found.small == (2,)
    assert set(np.unique(found.first)) == {0, 1, 2}


def test_no_lesions_are_a_normal_state() -> None:
    empty, some = np.zeros(SHAPE, np.int32), _spheres((5, A, 4))
    assert match_lesions(empty, empty, GRID).matches == ()
    assert _only(match_lesions(empty, some, GRID)).kind is Kind.NEW
    assert _only(match_lesions(some, empty, GRID)).kind is Kind.GONE


def test_a_thousand_lesions_with_large_numbers_take_little_time() -> None:
    shape = (100, 100, 20)
    labels = np.zeros(shape, np.int32)
    corners = np.indices((20, 20, 4)).reshape(3, -1).T * 5
    for number, (i, j, k) in enumerate(corners, 1):
        labels[i : i + 3, j : j + 3, k : k + 3] = 2_000_000_000 + number
    grid = Grid(shape, np.eye(4))
    started = time.process_time()
    found = match_lesions(labels, np.roll(labels, 1, axis=0), grid)
    assert time.process_time() - started < 5.0
    assert len(found.matches) == len(corners)
    assert {one.kind for one in found.matches} == {Kind.STABLE}


def test_what_does_not_fit_is_refused() -> None:
    labels = _spheres((1, A, 4))
    with pytest.raises(InputError, match="second lesions"):
        match_lesions(labels, labels[1:], GRID)
    with pytest.raises(InputError, match="negative or fractional"):
        match_lesions(labels, labels * 0.5, GRID)
    for wrong in ({"tolerance_mm": -1.0}, {"least_overlap": 0.9}, {"volume_limit": 0.0}, {"tolerance_mm": 50.0}):
        with pytest.raises(InputError, match="options of the matching"):
            MatchOptions(**wrong)
