"""The relaxometric constant from deep grey matter, against the one that was put in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from scipy.stats import linregress

from ChiSepPhantoms import Phantom
from ChiSepPhantoms.tissues import TISSUES, relaxivities_hz_per_ppm
from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.evaluation.relaxivity_estimation import deep_grey_labels, estimate_relaxivity
from ChiSepReconstructLib.solvers.closed_form import separate

_NAMES = {11: "L_CN", 12: "Caudate (R)", 2: "Put", 3: "Globus_Pallidus", 4: "red nucleus", 5: "SN", 6: "Thalamus"}


def test_names_of_atlases_are_understood() -> None:
    assert deep_grey_labels(_NAMES) == {
        "caudate": (11, 12), "putamen": (2,), "pallidum": (3,), "red nucleus": (4,), "substantia nigra": (5,),
    }  # fmt: skip
    with pytest.raises(InputError, match="no putamen, substantia nigra"):
        deep_grey_labels({number: name for number, name in _NAMES.items() if number not in (2, 5)})


def test_constant_is_recovered_whatever_the_zero_of_the_qsm() -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 7, (14, 13, 12)).astype(np.int32)
    labels[labels == 1] = 11
    iron = np.array([0.0, 0, 0.07, 0.13, 0.11, 0.115, 0.02, 0, 0, 0, 0, 0.045])[labels]
    chi = iron + rng.normal(0, 0.01, labels.shape)
    r2prime = 120.0 * chi + 1.5
    mask = np.ones(labels.shape, dtype=bool)
    found = estimate_relaxivity(r2prime, chi - 0.03, labels, deep_grey_labels(_NAMES), mask, 3.0)
    assert found.hz_per_ppm == pytest.approx(120.0, rel=1e-9)
    assert found.line.intercept == pytest.approx(1.5 + 120 * 0.03, rel=1e-6)
    assert found.line.r_squared == pytest.approx(1.0)
    constants = found.constants()
    assert (constants.para_hz_per_ppm, constants.dia_hz_per_ppm) == (found.hz_per_ppm, found.hz_per_ppm)
    assert constants.field_strength_t == 3.0
    para, dia = separate(np.array([0.06]), np.array([120.0 * 0.08]), constants)
    assert (para[0], dia[0]) == pytest.approx((0.07, 0.01), rel=1e-6)


def test_standard_error_is_that_of_the_scatter_of_the_regions() -> None:
    labels = np.repeat(np.arange(6), 4).reshape(6, 2, 2)
    x = np.array([0.0, 0.04, 0.07, 0.12, 0.10, 0.11])
    y = 114.0 * x + np.array([0.0, 0.9, -0.7, 0.6, -1.1, 0.5])
    names: Mapping[str, tuple[int, ...]] = {str(n): (n,) for n in range(1, 6)}
    found = estimate_relaxivity(y[labels], x[labels], labels, names, labels > 0, 2.89)
    expected = linregress(x[1:], y[1:])
    assert found.hz_per_ppm == pytest.approx(expected.slope)
    assert found.line.slope_error == pytest.approx(expected.stderr)
    assert found.line.r_squared == pytest.approx(expected.rvalue**2)


def test_truth_of_the_simulated_patient_gives_its_constant_but_for_its_myelin(patient: Phantom) -> None:
    """R2′ is D (χ + 2 χ_dia), and χ_dia grows a little with iron in the nuclei, so D is overestimated, here by 8 %."""
    regions = {
        name: (TISSUES[tissue].label,)
        for name, tissue in (
            ("caudate", "caudate"), ("putamen", "putamen"), ("pallidum", "globus_pallidus"),
            ("red nucleus", "red_nucleus"), ("substantia nigra", "substantia_nigra"),
        )
    }  # fmt: skip
    truth, labels = patient.truth, patient.labels
    mask = truth.array("brain_mask") & ~truth.array("vessel_mask_para")
    true, _ = relaxivities_hz_per_ppm("single", truth.scan.field_strength_t)
    rate, chi, dia = (truth.array(name) for name in ("r2prime", "chi_total", "chi_dia"))
    found = estimate_relaxivity(rate, chi, labels, regions, mask, truth.scan.field_strength_t)
    assert found.line.points == 5
    assert found.line.r_squared is not None and found.line.r_squared > 0.99
    assert found.hz_per_ppm == pytest.approx(true, rel=0.12)
    without_myelin = estimate_relaxivity(rate - 2 * true * dia, chi, labels, regions, mask, 3.0)
    assert without_myelin.hz_per_ppm == pytest.approx(true, rel=0.005)


def test_regions_that_are_not_there_are_refused() -> None:
    labels = np.repeat(np.arange(6), 4).reshape(6, 2, 2)
    values = labels / 50.0
    two = {"a": (1,), "b": (2,)}
    with pytest.raises(InputError, match="a third region"):
        estimate_relaxivity(values, values, labels, two, labels > 0, 3.0)
    with pytest.raises(InputError, match="no voxel of c"):
        estimate_relaxivity(values, values, labels, {**two, "c": (9,), "d": (3,)}, labels > 0, 3.0)
    with pytest.raises(InputError, match="para relaxivity"):
        every = {str(n): (n,) for n in range(1, 6)}
        estimate_relaxivity(-values, values, labels, every, labels > 0, 3.0).constants()
