"""Every method against analytic dipole fields of spheres inside and outside the mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from ChiSepPreprocessLib.bgremove.pdf import PdfOptions
from ChiSepPreprocessLib.bgremove.removal import BackgroundMethod, BackgroundOptions, remove_background
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from sphere_fields import COARSE_MM, DIRECTIONS, VOXELS_MM, Vector, background, ellipsoid, norm_ratio, sources

SILENT = Reporter()
Limits = Mapping[BackgroundMethod, tuple[float, ...]]
METHODS: tuple[BackgroundMethod, ...] = ("single-step", "v-sharp", "pdf", "lbv")
#: What is left of the background, as a share of it, for each voxel size.
BACKGROUND_LEFT: Limits = {
    "single-step": (1.5e-4, 9.5e-4, 2.5e-3),
    "v-sharp": (1.0e-4, 1.7e-4, 1.0e-3),
    "pdf": (6.1e-3, 6.2e-3, 6.3e-3),
    "lbv": (2.7e-5, 9e-5, 2.8e-4),
}
#: Error of the local field, as a share of it.
SOURCES_LOST: Limits = {
    "single-step": (0.125, 0.2, 0.48),
    "v-sharp": (0.05, 0.055, 0.13),
    "pdf": (0.19, 0.245, 0.25),
    "lbv": (0.039, 0.041, 0.048),
}
#: Of the local field against the true one, and how far it may be off.
SLOPES: Limits = {"single-step": (0.993, 0.007), "v-sharp": (1.0, 0.01), "pdf": (0.97, 0.025), "lbv": (1.0, 0.01)}


def voxels_mm(method: BackgroundMethod) -> list[Vector]:
    """Each of PDF's many steps takes four transforms: fewer voxels."""
    return COARSE_MM if method == "pdf" else VOXELS_MM


def rows(limits: Limits) -> list[tuple[BackgroundMethod, Vector, float]]:
    return [(method, size, limit) for method, each in limits.items()
            for size, limit in zip(voxels_mm(method), each, strict=True)]  # fmt: skip


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(("method", "voxel_mm", "limit"), rows(BACKGROUND_LEFT))
def test_background_vanishes(method: BackgroundMethod, voxel_mm: Vector, limit: float, b0: Vector) -> None:
    field, mask = background(voxel_mm, b0), ellipsoid(voxel_mm)
    local, valid = remove_background(field, mask, voxel_mm, b0, BackgroundOptions(method=method), SILENT)
    assert norm_ratio(local, field, valid) < limit
    assert not local[~valid].any()


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(("method", "voxel_mm", "limit"), rows(SOURCES_LOST))
def test_sources_inside_stay(method: BackgroundMethod, voxel_mm: Vector, limit: float, b0: Vector) -> None:
    truth, mask = sources(voxel_mm, b0), ellipsoid(voxel_mm)
    # PDF approaches its solution slowly: as much more background than local field as in a head, and more steps.
    total = truth + (0.2 if method == "pdf" else 1.0) * background(voxel_mm, b0)
    options = BackgroundOptions(method=method, pdf=PdfOptions(tolerance=1e-4))
    local, valid = remove_background(total, mask, voxel_mm, b0, options, SILENT)
    assert norm_ratio(total, truth, valid) > 20
    assert norm_ratio(local - truth, truth, valid) < limit
    slope, error = SLOPES[method]
    assert float((local * truth)[valid].sum() / (truth[valid] ** 2).sum()) == pytest.approx(slope, abs=error)


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({"total_field": np.zeros((5, 5, 6))}, "total field"),
        ({"total_field": np.full((9, 9, 9), np.nan)}, "total field"),
        ({"mask": np.zeros((9, 9, 9), np.bool_)}, "mask"),
        ({"mask": np.ones((9, 9, 9), np.uint8)}, "mask"),
        ({"voxel_size_mm": (1.0, 1.0)}, "voxel size"),
        ({"voxel_size_mm": (1.0, -1.0, 1.0)}, "voxel size"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_bad_input_is_named(method: BackgroundMethod, change: dict[str, object], quantity: str) -> None:
    given = {"total_field": np.zeros((9, 9, 9)), "mask": np.ones((9, 9, 9), np.bool_), "voxel_size_mm": (1.0, 1.0, 1.0),
             "b0_direction_ijk": (0.0, 0.0, 1.0)}  # fmt: skip
    with pytest.raises(InputError) as caught:
        remove_background(**{**given, **change}, options=BackgroundOptions(method=method), report=SILENT)  # type: ignore[arg-type]
    assert caught.value.quantity == quantity
