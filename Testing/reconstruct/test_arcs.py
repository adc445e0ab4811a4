"""The scan's own relaxometric constant: exact where one source stands alone, bounded by it where both do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.relaxivity import relaxivity
from ChiSepReconstructLib.solvers.arcs import ArcsOptions, adaptive_constant, run
from ChiSepReconstructLib.solvers.tkd import tkd

_A, _BASELINE = 180.0, 14.0

Single = NDArray[np.float32]


def _voxels(mixed_share: float, noise_per_s: float = 0.0) -> tuple[Single, Single]:
    """QSM and R2* of voxels, some of which hold both sources."""
    rng = np.random.default_rng(6)
    para, dia = rng.uniform(0, 0.2, 20_000), rng.uniform(0, 0.1, 20_000)
    dia[rng.random(20_000) >= mixed_share] = 0.0
    rate = _BASELINE + _A * (para + dia) + noise_per_s * rng.standard_normal(20_000)
    return (para - dia).astype(np.float32), rate.astype(np.float32)


def test_one_source_alone_gives_the_constant_exactly() -> None:
    chi, rate = _voxels(mixed_share=0.0)
    # The median of R2* belongs to the median of χ, whatever the bin.
    assert adaptive_constant(chi, rate, ArcsOptions(quantile=0.5)) == pytest.approx((_A, _BASELINE), rel=2e-4)


def test_low_quantile_leaves_voxels_with_both_sources_out() -> None:
    chi, rate = _voxels(mixed_share=0.8, noise_per_s=0.2)
    low = adaptive_constant(chi, rate, ArcsOptions())
    middle = adaptive_constant(chi, rate, ArcsOptions(quantile=0.5))
    assert low is not None and middle is not None
    assert low == pytest.approx((_A, _BASELINE), rel=0.08)
    assert abs(middle[1] - _BASELINE) > 2 * abs(low[1] - _BASELINE)


def test_no_line_is_told_where_there_is_none() -> None:
    chi, rate = _voxels(mixed_share=0.0)
    assert adaptive_constant(chi, (2 * _BASELINE - rate).astype(np.float32), ArcsOptions()) is None
    assert adaptive_constant(chi[:30], rate[:30], ArcsOptions()) is None


def _maps(rising: bool) -> tuple[MapSet, NDArray[np.bool_], Single]:
    """Maps whose R2* follows the QSM that the method itself will find; no CSF, so the brain's mean is zero."""
    rng, shape, voxel_mm, b0 = np.random.default_rng(1), (25, 23, 27), (1.0, 1.2, 1.7), (0.36, -0.48, 0.8)
    mask = np.zeros(shape, dtype=bool)
    mask[1:-1, 1:-1, 1:-1] = True
    field = (0.02 * rng.standard_normal(shape)).astype(np.float32)
    chi = tkd(field, mask, voxel_mm, b0)
    chi = np.where(mask, chi - chi[mask].mean(), 0.0).astype(np.float32)
    rate = np.where(mask, _BASELINE + (_A * np.abs(chi) if rising else 0.0), 0.0).astype(np.float32)
    grid = Grid(shape, np.diag([*voxel_mm, 1.0]))
    data = {"local_field": field, "r2star": rate, "brain_mask": mask}
    scan = ScanParameters(echo_times_s=(0.01, 0.02), field_strength_t=3.0, b0_direction_ijk=b0)
    maps = {name: Map(name=name, data=one, grid=grid) for name, one in data.items()}
    return MapSet(grid, scan, maps), mask, chi


def test_lone_sources_come_back_with_the_constant_of_the_scan() -> None:
    maps, mask, chi = _maps(rising=True)
    solution = run(maps, mask, ArcsOptions(quantile=0.5), Reporter())
    np.testing.assert_allclose(solution.maps["chi_total"], chi, atol=1e-6)
    np.testing.assert_allclose(solution.maps["chi_para"], np.maximum(chi, 0), atol=5e-4)
    np.testing.assert_allclose(solution.maps["chi_dia"], np.maximum(-chi, 0), atol=5e-4)
    assert solution.record["relaxivity"]["para_hz_per_ppm"] == pytest.approx(_A, rel=0.01)
    assert not solution.maps["chi_para"][~mask].any() and not solution.maps["chi_dia"][~mask].any()


def test_a_scan_that_tells_no_constant_takes_a_published_one_and_says_so() -> None:
    maps, mask, _ = _maps(rising=False)
    solution = run(maps, mask, ArcsOptions(), Reporter())
    expected = relaxivity("shin2021", 3.0).para_hz_per_ppm
    assert solution.record["relaxivity"]["para_hz_per_ppm"] == pytest.approx(expected)
    assert "does not rise" in solution.warnings[0]


def test_bad_options_are_refused_and_cancel_works() -> None:
    bad: list[dict[str, Any]] = [{"quantile": 0.0}, {"quantile": float("nan")}, {"lowest_ppm": 0.2}, {"bins": 2}]
    for values in bad:
        with pytest.raises(InputError, match="QSM-ARCS"):
            ArcsOptions(**values)
    maps, mask, _ = _maps(rising=True)
    with pytest.raises(CancelledError):
        run(maps, mask, ArcsOptions(), Reporter(lambda status: False))
