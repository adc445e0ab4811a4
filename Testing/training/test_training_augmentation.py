"""Turned heads obey the physics of the turned anatomy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepReconstructLib.training.augmentation import Head, tilted_in_b0, turned_about_b0
from training_heads import TRAINED, field_of

SHAPE = (44, 41, 42)


def blobs(
    rotation: NDArray[np.float64], shape: tuple[int, int, int], centre: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Gaussian blobs of χ (ppm) at known places of a head that is turned about its centre, in voxels."""
    places = np.array([[6.0, -4, 3], [-7, 5, -2], [2, 7, 6], [-3, -6, -7]])
    heights, widths = (0.1, -0.08, 0.06, 0.09), (2.5, 3.0, 2.2, 2.8)
    at = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1) - centre
    found = np.zeros(shape)
    for place, height, width in zip(places, heights, widths, strict=True):
        found += height * np.exp(-np.sum((at - rotation.T @ place) ** 2, axis=-1) / (2 * width**2))
    return found.astype(np.float32)


def ball(shape: tuple[int, int, int], centre: NDArray[np.float64], radius: float = 17.0) -> NDArray[np.bool_]:
    at = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1) - centre
    return np.asarray(np.sum(at**2, axis=-1) <= radius**2)


def head(noise: float = 0.0) -> Head:
    centre = (np.array(SHAPE) - 1) / 2
    chi, mask = blobs(np.eye(3), SHAPE, centre), ball(SHAPE, centre)
    field = field_of(chi * mask) + noise * blobs(np.eye(3), SHAPE, centre)[::-1]
    return Head(Grid(SHAPE, TRAINED), mask, {"chi_total": chi * mask, "local_field": field * mask})


def centre_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.argwhere(mask).mean(axis=0))


def rotation(axis: NDArray[np.float64], angle_deg: float) -> NDArray[np.float64]:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(axis * np.deg2rad(angle_deg)).as_matrix())


def error(found: NDArray[np.float32], true: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    return float(np.linalg.norm((found - true)[mask]) / np.linalg.norm(true[mask]))


@pytest.mark.parametrize("angle", [-60.0, 30.0, 90.0])
def test_turn_about_b0_equals_the_turned_anatomy(angle: float) -> None:
    turned = turned_about_b0(head(), angle)
    expected = blobs(rotation(np.array([0.0, 0, 1]), angle), turned.mask.shape, centre_of(turned.mask))
    inner = ball(turned.mask.shape, centre_of(turned.mask), 15.0)
    assert error(turned.maps["chi_total"], expected, inner) < 0.0003
    assert error(turned.maps["local_field"], field_of(expected * turned.mask), inner) < 0.002


@pytest.mark.parametrize(("angle", "azimuth"), [(25.0, 0.0), (-40.0, 70.0), (120.0, 200.0)])
def test_tilt_relative_to_b0_has_the_field_of_the_tilted_anatomy(angle: float, azimuth: float) -> None:
    tilted = tilted_in_b0(head(), angle, azimuth, keep_residual=False)
    axis = np.array([np.cos(np.deg2rad(azimuth)), np.sin(np.deg2rad(azimuth)), 0.0])
    turn = rotation(axis, angle)
    if turn[2, 2] < 0:  # B0 has no sign: the third axis stays to superior
        turn = turn * np.array([-1.0, 1.0, -1.0])
    expected = blobs(turn, tilted.mask.shape, centre_of(tilted.mask))
    inner = ball(tilted.mask.shape, centre_of(tilted.mask), 15.0)
    assert error(tilted.maps["chi_total"], expected, inner) < 0.0003
    assert error(tilted.maps["local_field"], field_of(expected * tilted.mask), inner) < 0.002


def test_residual_of_the_measured_field_is_kept_on_request() -> None:
    noisy = head(noise=0.05)
    without, with_it = (tilted_in_b0(noisy, 30.0, 40.0, keep_residual=one) for one in (False, True))
    residual = noisy.maps["local_field"] - field_of(noisy.maps["chi_total"]) * noisy.mask
    added = with_it.maps["local_field"] - without.maps["local_field"]
    assert np.linalg.norm(added) == pytest.approx(np.linalg.norm(residual), rel=0.01)
