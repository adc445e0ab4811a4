"""Ventricles in a simulated head of ellipsoids, and the zero that they set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ChiSepReconstructLib.masks.csf import CsfOptions, csf_mask
from ChiSepReconstructLib.masks.csf import ventricles as select_ventricles
from ChiSepReconstructLib.masks.reference import reference_to

_VOXEL_MM = (2.0, 1.5, 3.0)
_SHAPE = (60, 80, 40)

Mask = NDArray[np.bool_]


def _ellipsoid(centre_mm: tuple[float, float, float], radii_mm: tuple[float, float, float]) -> Mask:
    axes = [(np.arange(n) - n / 2 + 0.5) * size for n, size in zip(_SHAPE, _VOXEL_MM, strict=True)]
    offset = np.stack(np.meshgrid(*axes, indexing="ij"), -1) - centre_mm
    inside: Mask = np.square(offset / np.array(radii_mm)).sum(axis=-1) <= 1
    return inside


def _head() -> tuple[NDArray[Any], Mask, Mask]:
    """R2*, brain, ventricles: two inside the central sphere, reaching out of it along j."""
    brain = _ellipsoid((0, 0, 0), (55, 58, 55))
    ventricles = _ellipsoid((-10, 0, 0), (5, 38, 7)) | _ellipsoid((10, 0, 0), (5, 38, 7))
    lesion, sulcus = _ellipsoid((0, 0, 38), (5, 5, 5)), _ellipsoid((0, 55, 0), (8, 8, 8))
    r2star = np.where(ventricles | lesion | sulcus, 2.0, 18.0)
    return r2star, brain, ventricles


def test_ventricles_are_found_whole_and_nothing_else() -> None:
    r2star, brain, ventricles = _head()
    found = csf_mask(r2star, brain, _VOXEL_MM)
    np.testing.assert_array_equal(found, ventricles)
    np.testing.assert_array_equal(select_ventricles(r2star < 5, brain, _VOXEL_MM), found)
    # Outside the central sphere of 30 mm, and so reached by connection.
    assert (found & ~_ellipsoid((0, 0, 0), (30, 30, 30))).any()


def test_the_edge_of_the_brain_is_left_out_by_millimetres() -> None:
    r2star, brain, _ = _head()
    everything = csf_mask(np.zeros_like(r2star), brain, _VOXEL_MM)
    outside = KDTree(np.argwhere(~brain) * _VOXEL_MM)
    distance_mm, _ = outside.query(np.argwhere(brain) * _VOXEL_MM)
    np.testing.assert_array_equal(everything[brain], distance_mm > 10.0)
    # A brain that fills the image ends at its border.
    filled = csf_mask(np.zeros(_SHAPE), np.ones(_SHAPE, dtype=bool), _VOXEL_MM)
    assert [int(np.flatnonzero(filled.any(axis=others))[0]) for others in ((1, 2), (0, 2), (0, 1))] == [5, 6, 3]


def test_no_csf_gives_an_empty_mask() -> None:
    r2star, brain, _ = _head()
    assert not csf_mask(np.full_like(r2star, 20.0), brain, _VOXEL_MM).any()
    assert not csf_mask(r2star, np.zeros_like(brain), _VOXEL_MM).any()
    # No voxel's centre lies so near the centroid, and then none of a ventricle does.
    assert not csf_mask(r2star, brain, _VOXEL_MM, CsfOptions(centre_radius_mm=0.1)).any()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_centre_is_a_sphere_about_the_centroid(seed: int) -> None:
    """Single voxels of CSF, each a piece: those within the radius are found, with a lopsided brain."""
    brain = np.zeros(_SHAPE, dtype=bool)
    brain[5:58, 9:70, 2:39] = True
    brain[:30, :, 28:] = False
    scattered = np.zeros(_SHAPE, dtype=bool)
    scattered[::2, ::2, ::2] = np.random.default_rng(seed).random((30, 40, 20)) < 0.1
    options = CsfOptions(erosion_mm=0.0, centre_radius_mm=22.0, central_components=10**6)
    distance_mm = np.linalg.norm((np.indices(_SHAPE).T - np.argwhere(brain).mean(axis=0)) * _VOXEL_MM, axis=-1).T
    expected = scattered & brain & (distance_mm <= 22.0)
    assert 50 < expected.sum() < (scattered & brain).sum() / 2
    np.testing.assert_array_equal(select_ventricles(scattered, brain, _VOXEL_MM, options), expected)


def test_reference_sets_the_region_to_zero() -> None:
    _, brain, ventricles = _head()
    chi = np.random.default_rng(6).normal(0.3, 0.05, _SHAPE)
    referenced, reference = reference_to(chi, ventricles, "CSF", brain, 9.0)
    assert reference.subtracted_ppm == pytest.approx(chi[ventricles].mean())
    assert reference.volume_mm3 == 9.0 * ventricles.sum()
    assert reference.warnings == ()
    assert reference.record()["region"] == "CSF"
    np.testing.assert_allclose(referenced[brain], chi[brain] - chi[ventricles].mean(), atol=1e-7)
    assert not referenced[~brain].any()


def test_a_tiny_region_falls_back_to_the_brain_with_a_warning() -> None:
    _, brain, _ = _head()
    chi = np.random.default_rng(6).normal(0.3, 0.05, _SHAPE)
    region = np.zeros(_SHAPE, dtype=bool)
    region[30, 40, 10:32] = True  # 22 voxels of 9 mm³
    referenced, reference = reference_to(chi, region, "CSF", brain, 9.0)
    assert reference.region == "brain"
    assert "198 mm³, below 200 mm³" in reference.warnings[0]
    assert abs(referenced[brain].mean(dtype=np.float64)) < 1e-8
    region[30, 40, 32] = True
    assert reference_to(chi, region, "CSF", brain, 9.0)[1].region == "CSF"
