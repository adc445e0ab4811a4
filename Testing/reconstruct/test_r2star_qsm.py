"""R2*-QSM: exact in closed form, better with field and edges, and scaled with B0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.operators import Vector
from ChiSepReconstructLib.solvers.r2star_qsm import R2StarQsmOptions, run
from ChiSepReconstructLib.solvers.tkd import tkd
from sphere_fields import ellipsoid, norm_ratio, source_susceptibility, sources

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (2.0, 2.0, 2.0)


def spheres(field_strength_t: float = 3.0) -> tuple[MapSet, NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Exact field of spheres, R2* by the method's own equation, and the truth."""
    mask, total = ellipsoid(_VOXEL_MM), source_susceptibility(_VOXEL_MM)
    truth = {"chi_para": (np.maximum(total, 0) + 0.03) * mask, "chi_dia": (np.maximum(-total, 0) + 0.03) * mask}
    data: dict[str, NDArray[Any]] = {
        "local_field": sources(_VOXEL_MM, _OBLIQUE) * mask, "brain_mask": mask, "csf_mask": mask & (total == 0),
        "r2star": 274.0 * field_strength_t / 3.0 * (truth["chi_para"] + truth["chi_dia"]),
        "magnitude": np.where(total != 0, 0.7, 1.0) * mask,
    }  # fmt: skip
    grid = Grid(mask.shape, np.diag([*_VOXEL_MM, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005, 0.01), field_strength_t=field_strength_t, b0_direction_ijk=_OBLIQUE)
    maps = {name: Map(name=name, data=value, grid=grid) for name, value in data.items()}
    return MapSet(grid, scan, maps), mask, truth


def test_closed_form_is_half_of_the_scaled_rate_plus_and_minus_the_qsm() -> None:
    maps, mask, _ = spheres()
    found = run(maps, mask, R2StarQsmOptions(regularised=False), Reporter()).maps
    chi = tkd(maps.array("local_field"), mask, _VOXEL_MM, _OBLIQUE)
    chi = np.where(mask, chi - chi[maps.array("csf_mask")].mean(), 0.0)
    scaled = maps.array("r2star") / 274.0
    np.testing.assert_allclose(found["chi_para"], np.maximum(0.5 * (scaled + chi), 0), atol=5e-4)
    np.testing.assert_allclose(found["chi_dia"], np.maximum(0.5 * (scaled - chi), 0), atol=5e-4)


def test_field_and_edges_find_spheres_better_than_the_closed_form() -> None:
    maps, mask, truth = spheres()
    error = []
    for regularised in (True, False):
        solution = run(maps, mask, R2StarQsmOptions(regularised=regularised), Reporter())
        error += [100 * norm_ratio(solution.maps[name] - truth[name], truth[name], mask) for name in truth]
        assert not any(one[~mask].any() for one in solution.maps.values())
    assert error == pytest.approx([3.86, 3.95, 6.49, 6.64], abs=0.1)


def test_constant_grows_with_b0() -> None:
    low, high = (spheres(b0)[0] for b0 in (3.0, 7.0))
    assert R2StarQsmOptions().constants(low.scan).para_hz_per_ppm == pytest.approx(274.0)
    assert R2StarQsmOptions().constants(high.scan).dia_hz_per_ppm == pytest.approx(274.0 * 7 / 3)
    mask, options = low.array("brain_mask"), R2StarQsmOptions(regularised=False)
    one, other = (run(maps, mask, options, Reporter()).maps["chi_para"] for maps in (low, high))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_bad_options_are_refused_and_cancel_works() -> None:
    bad: list[dict[str, Any]] = [{"hz_per_ppm_at_3t": 0.0}, {"hz_per_ppm_at_3t": float("nan")}, {"decay_weight": 0.0}]
    for options in bad:
        with pytest.raises(InputError):
            R2StarQsmOptions(**options)
    maps, mask, _ = spheres()
    with pytest.raises(CancelledError):
        run(maps, mask, R2StarQsmOptions(), Reporter(lambda status: False))
