"""B0 turned with the head, and both ways between an image and the GRE."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ChiSepPreprocessLib.artifacts import Array, Grid, Image, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.registration.alignment import Alignment
from ChiSepPreprocessLib.registration.orientations import Orientation, Oriented, align_orientations, b0_in_first
from ChiSepPreprocessLib.registration.to_gre import Registered, register_to_gre

SHAPE = (39, 44, 35)
TURN = Rotation.from_euler("xyz", (14, -9, 6), degrees=True).as_matrix()


def grid(angles_deg: tuple[float, float, float], sizes_mm: tuple[float, float, float]) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix() @ np.diag(sizes_mm)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    return Grid(SHAPE, affine)


FIRST, SECOND = grid((12, -5, 20), (1.6, 1.5, 1.9)), grid((-8, 10, 3), (-1.5, 1.7, 1.8))


def places_mm(where: Grid) -> Array:
    return np.asarray(where.affine[:3, :3] @ np.indices(where.shape).reshape(3, -1) + where.affine[:3, 3:])


def head(points_mm: Array) -> Array:
    """Image of a head at points of the first scan's space (3, N)."""
    x, y, z = points_mm
    inside = 1 / (1 + np.exp((np.sqrt((x / 21) ** 2 + (y / 25) ** 2 + (z / 23) ** 2) - 1) * 12))
    return 100 * inside * (1.5 + np.sin(x / 3.1) * np.cos(y / 3.6 + 1) + np.sin(z / 3.3) * np.cos(x / 4 + 2))


def motion(turn: Array) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, (3.0, -2.0, 1.5)
    return matrix


def seen(where: Grid, first_from_own: Array) -> Array:
    points = first_from_own[:3, :3] @ places_mm(where) + first_from_own[:3, 3:]
    return head(points).reshape(where.shape).astype(np.float32)


@pytest.fixture(scope="module")
def second() -> Oriented:
    own = Image(seen(SECOND, np.linalg.inv(motion(TURN))), SECOND)
    first = Image(seen(FIRST, np.eye(4)), FIRST)
    mask = np.asarray(first.data > 30)
    pair = [Orientation(one, one.grid.b0_direction_ijk) for one in (first, own)]
    return align_orientations(pair, mask)[1]


def test_b0_turns_against_the_head() -> None:
    """A head that nods by 30° about R sees B0 turned by −30°: exact on any pair of grids."""
    nod = motion(Rotation.from_euler("x", 30, degrees=True).as_matrix())
    one = Orientation(Image(np.zeros(SHAPE), SECOND), SECOND.b0_direction_ijk)
    found = FIRST.directions @ np.array(b0_in_first(one, FIRST, nod))
    np.testing.assert_allclose(found, (0, np.sin(np.radians(30)), np.cos(np.radians(30))), atol=1e-12)


def test_the_turned_head_and_its_b0_are_found(second: Oriented) -> None:
    rest = second.alignment.moving_from_fixed_ras[:3, :3] @ TURN.T
    assert np.degrees(Rotation.from_matrix(rest).magnitude()) < 0.3
    expected = FIRST.directions.T @ TURN.T @ np.array([0, 0, 1.0])
    angle = np.degrees(np.arccos(np.clip(expected @ np.array(second.b0_direction_ijk), -1, 1)))
    assert angle < 0.3
    assert second.alignment.warnings == ()


def test_maps_arrive_on_the_first_grid_by_kind(second: Oriented) -> None:
    exact = Oriented(Alignment(motion(TURN)), SECOND, FIRST, second.b0_direction_ijk)
    data = seen(SECOND, np.linalg.inv(motion(TURN)))
    scan = ScanParameters(echo_times_s=(0.01,), field_strength_t=3.0, b0_direction_ijk=SECOND.b0_direction_ijk)
    given = [Map(name="local_field", data=data, grid=SECOND), Map(name="brain_mask", data=data > 30, grid=SECOND),
             Map(name="lesions", data=(data > 60).astype(np.int16) * 5, grid=SECOND)]  # fmt: skip
    found = exact.maps_onto_first(MapSet(SECOND, scan, {one.name: one for one in given}))
    truth = seen(FIRST, np.eye(4))
    brain = truth > 30
    error = np.linalg.norm((found.array("local_field") - truth)[brain]) / np.linalg.norm(truth[brain])
    assert error < 0.08
    assert found.scan.b0_direction_ijk == second.b0_direction_ijk
    assert found.array("brain_mask").dtype == np.bool_
    assert set(np.unique(found.array("lesions"))) == {0, 5}
    phase = Map(name="gre_phase", data=np.zeros((*SHAPE, 1)), grid=SECOND)
    with pytest.raises(InputError, match="gre_phase"):
        exact.maps_onto_first(MapSet(SECOND, scan, {"gre_phase": phase}))
    with pytest.raises(InputError, match="orientations"):
        align_orientations([], brain)


def test_labels_go_to_the_gre_and_back() -> None:
    """With the exact motion; a ball keeps its place and volume both ways."""
    registered = Registered(FIRST, SECOND, Alignment(motion(TURN)))
    own = motion(TURN) @ np.array([4.0, -3.0, 5.0, 1.0])
    ball = np.linalg.norm(places_mm(SECOND) - own[:3, None], axis=0).reshape(SHAPE) < 9
    on_gre = registered.onto_gre(ball)
    truth = np.linalg.norm(places_mm(FIRST) - np.array([[4.0], [-3.0], [5.0]]), axis=0).reshape(SHAPE) < 9
    assert 2 * np.sum(on_gre & truth) / (on_gre.sum() + truth.sum()) > 0.93
    again = registered.onto_own(on_gre)
    assert 2 * np.sum(again & ball) / (again.sum() + ball.sum()) > 0.90
    np.testing.assert_allclose(registered.alignment.inverted().fixed_from_moving_ras, motion(TURN), atol=1e-12)


def test_an_image_is_registered_to_the_gre() -> None:
    small = motion(Rotation.from_euler("z", 4, degrees=True).as_matrix())
    gre, image = Image(seen(FIRST, np.eye(4)), FIRST), Image(seen(SECOND, np.linalg.inv(small)), SECOND)
    found = register_to_gre(image, gre, np.asarray(gre.data > 30))
    assert found.alignment.rotation_deg == pytest.approx(4.0, abs=0.3)
    inside = gre.data > 60
    rest = (found.onto_gre(image.data) - gre.data)[inside]
    assert np.sqrt(np.mean(rest**2)) < 0.1 * gre.data[inside].mean()
