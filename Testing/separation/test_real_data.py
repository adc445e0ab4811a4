"""Real acquisitions: what can be reconstructed is, what cannot be is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib.presentation import present
from ChiSeparationLib.study import Study
from ChiSeparationLib.workflow import Inputs, run
from ChiSepPreprocessLib.errors import InputError, MissingDependencyError
from ChiSepPreprocessLib.loading import load_spin_echo
from ChiSepPreprocessLib.relaxometry.r2 import R2Options, r2


@pytest.fixture(scope="module")
def philips(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    inputs = Inputs(gre=(real_data / "philips_classic",))
    return run(inputs, tmp_path_factory.mktemp("philips"), methods=("closed-form",))


def test_double_oblique_head_gets_chi_maps(philips: Study) -> None:
    """Two echoes of a whole head at 3 mm: everything is finite, non-negative and inside the mask."""
    scan, maps = philips.maps.scan, philips.results["closed-form"]
    assert np.count_nonzero(np.abs(scan.b0_direction_ijk) > 0.05) >= 2
    volume_ml = maps.array("brain_mask").sum() * maps.grid.voxel_volume_mm3 / 1e3
    assert 1000 < volume_ml < 1700
    inside = maps.array("field_mask")
    for name in ("chi_para", "chi_dia"):
        chi = maps.array(name)
        assert np.all(chi[~inside] == 0)
        assert 0.0 < float(chi[inside].mean()) < 0.2


def test_missing_spin_echo_is_said(philips: Study) -> None:
    assert any("pseudo-R2" in text for text in philips.warnings)


def test_pictures_scene_and_report_of_the_real_head(philips: Study) -> None:
    try:
        problems = present(philips)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    if problems:
        pytest.skip(problems[0])
    assert {path.name for path in (philips.folder / "pictures").glob("*.png")} >= {
        "closed-form-chi_para.png", "closed-form-chi_dia.png", "closed-form-chi_total.png",
    }  # fmt: skip
    assert (philips.folder / "scene.mrb").stat().st_size > 100_000
    assert "not for clinical" in (philips.folder / "report.html").read_text().lower()


def test_single_slices_are_refused_with_the_reason(real_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="slice"):
        run(Inputs(gre=(real_data / "siemens_megre",)), tmp_path / "out")
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_spin_echo_alone_is_refused(real_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(Inputs(gre=(real_data / "tse_pd_t2",)), tmp_path / "out")


def test_dual_echo_tse_gives_r2_by_two_points(real_data: Path) -> None:
    """ln(S1/S2)/(TE2 − TE1) voxel by voxel; the head's median lies where soft tissue does at 3 T."""
    spin_echo = load_spin_echo([real_data / "tse_pd_t2"])
    assert spin_echo.is_turbo
    assert spin_echo.echo_times_s == pytest.approx((0.011, 0.092), abs=5e-4)
    first, second = spin_echo.magnitude[..., 0], spin_echo.magnitude[..., 1]
    head = (first > 0.3 * np.percentile(first, 99)) & (second > 0)
    fit = r2(spin_echo.magnitude, spin_echo.echo_times_s, head, R2Options())
    spacing_s = spin_echo.echo_times_s[1] - spin_echo.echo_times_s[0]
    expected = np.clip(np.log(first[head] / second[head]) / spacing_s, 0, 100)
    np.testing.assert_allclose(fit.rate_per_s[head], expected, rtol=1e-3, atol=1e-3)
    assert 8.0 < float(np.median(fit.rate_per_s[head])) < 25.0
