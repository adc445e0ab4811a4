"""From maps to χ maps: on a simulated head whose field is known in closed form, and with input that is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Status
from ChiSepReconstructLib.evaluation.evaluate import evaluate
from ChiSepReconstructLib.pipeline import reconstruct
from ChiSepReconstructLib.solvers.closed_form import ClosedFormOptions
from ChiSepReconstructLib.solvers.tkd import TkdOptions, tkd
from sphere_fields import gaussian_field

Real = NDArray[np.float64]

_SHAPE, _VOXEL_MM = (45, 42, 31), np.array([1.5, 1.6, 2.0])
_B0 = (0.36, -0.48, 0.8)
_HZ_PER_PPM = 142.0628
#: Centre and width in mm, paramagnetic and diamagnetic peak in ppm.
_SOURCES = (
    ((-16.0, 6.0, 4.0), 5.0, 0.12, 0.01),
    ((15.0, 8.0, 0.0), 5.5, 0.09, 0.02),
    ((8.0, -16.0, -6.0), 6.0, 0.02, 0.08),
    ((-10.0, -14.0, 8.0), 5.0, 0.05, 0.05),
    ((2.0, 18.0, -10.0), 4.5, 0.01, 0.07),
)


@cache
def _grid() -> Grid:
    return Grid(_SHAPE, np.diag([*_VOXEL_MM, 1.0]))


@cache
def _truth() -> MapSet:
    positions = (np.stack(np.meshgrid(*map(np.arange, _SHAPE), indexing="ij"), -1) - np.array([22, 20, 15])) * _VOXEL_MM
    brain = np.square(positions / [30.0, 29.0, 27.0]).sum(axis=-1) <= 1
    para, dia, field = np.zeros(_SHAPE), np.zeros(_SHAPE), np.zeros(_SHAPE)
    for centre, sigma_mm, chi_para, chi_dia in _SOURCES:
        ball = np.exp(-np.square(positions - centre).sum(axis=-1) / (2 * sigma_mm**2))
        para, dia = para + chi_para * ball, dia + chi_dia * ball
        field += (chi_para - chi_dia) * gaussian_field(positions - centre, sigma_mm, _B0)
    csf = np.square((positions - [0.0, 0.0, 2.0]) / [6.0, 5.0, 8.0]).sum(axis=-1) <= 1
    r2prime = np.clip(_HZ_PER_PPM * (para + dia), 0.06, None)
    return _maps(
        local_field=field, r2prime=r2prime, r2star=np.where(csf, 1.0, 15.0) + r2prime * ~csf, brain_mask=brain,
        chi_total=para - dia, chi_para=para, chi_dia=dia,
    )  # fmt: skip


def _maps(field_strength_t: float = 3.0, **data: NDArray[Any]) -> MapSet:
    scan = ScanParameters(echo_times_s=(0.005, 0.01), field_strength_t=field_strength_t, b0_direction_ijk=_B0)
    return MapSet(_grid(), scan, {name: Map(name=name, data=value, grid=_grid()) for name, value in data.items()})


def _inputs(*names: str, field_strength_t: float = 3.0, **changed: NDArray[Any]) -> MapSet:
    chosen = names or ("local_field", "r2prime", "r2star", "brain_mask")
    return _maps(field_strength_t, **{**{name: _truth().array(name) for name in chosen}, **changed})


def _errors_percent(inputs: MapSet, method: str = "tkd", **options: float) -> dict[str, float]:
    chosen = {"qsm": {"method": method, method: options}}
    result = evaluate(reconstruct(inputs, method="closed-form", options=chosen), _truth())
    return {name: result[name]["nrmse_percent"] for name in ("chi_total", "chi_para", "chi_dia")}


def test_closed_form_finds_both_sources_with_oblique_b0_and_anisotropic_voxels() -> None:
    # Exact R2′, so what is left is the error of the QSM: for TKD its streaks.
    plain = {"chi_total": 48.6, "chi_para": 20.6, "chi_dia": 29.8}
    corrected = {"chi_total": 46.1, "chi_para": 17.3, "chi_dia": 28.0}
    assert _errors_percent(_inputs()) == pytest.approx(plain, abs=0.1)
    assert _errors_percent(_inputs(), correct_underestimation=True) == pytest.approx(corrected, abs=0.1)
    varied = {"chi_total": 34.2, "chi_para": 15.9, "chi_dia": 20.9}
    assert _errors_percent(_inputs(), "tv") == pytest.approx(varied, abs=0.2)


def test_a_mirrored_b0_direction_is_much_worse() -> None:
    inputs = _inputs()
    mirrored = replace(inputs, scan=replace(inputs.scan, b0_direction_ijk=(0.36, 0.48, 0.8)))
    right, wrong = _errors_percent(inputs), _errors_percent(mirrored)
    assert all(wrong[name] > 2.3 * right[name] for name in right)


def test_maps_say_how_they_were_made() -> None:
    made = reconstruct(_inputs(), method="closed-form", options=ClosedFormOptions(relaxivity="kim2025"))
    assert set(made) - set(_inputs()) == {"chi_total", "chi_para", "chi_dia"}
    record = made["chi_para"].options
    assert json.loads(json.dumps(record)) == record
    assert made["chi_para"].method == "closed-form"
    assert record["relaxivity"]["para_hz_per_ppm"] == pytest.approx(114.0 * 3.0 / 2.893018, rel=1e-6)
    assert record["relaxivity"]["preset"] == "kim2025"
    assert record["reference"]["region"] == "CSF in the ventricles (MEDI+0)"
    assert record["inputs"] == {"local_field": "given", "brain_mask": "given", "r2prime": "given", "r2star": "given"}
    assert record["qsm"]["tkd"]["threshold"] == 0.2
    assert made["chi_para"].warnings == ()


def test_constants_follow_the_field_strength() -> None:
    low, high = (
        reconstruct(_inputs(field_strength_t=b0), method="closed-form")["chi_para"].options["relaxivity"]
        for b0 in (1.5, 7)
    )
    assert high["dia_hz_per_ppm"] / low["dia_hz_per_ppm"] == pytest.approx(7 / 1.5)
    assert (low["field_strength_t"], high["field_strength_t"]) == (pytest.approx(1.5), pytest.approx(7.0))


def test_cropping_to_the_brain_is_only_a_crop() -> None:
    inputs = _inputs()
    made = reconstruct(inputs, method="tkd", options=TkdOptions(padding=0.5))
    brain = inputs.array("brain_mask")
    spans = [np.flatnonzero(brain.any(axis=others))[[0, -1]] for others in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(first, last + 1) for first, last in spans)
    direct = tkd(inputs.array("local_field")[box], brain[box], inputs.grid.voxel_size_mm, _B0, TkdOptions(padding=0.5))
    shift = made["chi_total"].options["reference"]["subtracted_ppm"]
    np.testing.assert_allclose(made.array("chi_total")[box][brain[box]], (direct - shift)[brain[box]], atol=1e-7)
    assert not made.array("chi_total")[~brain].any()


def test_only_the_intersection_of_the_masks_is_solved() -> None:
    field_mask = np.zeros(_SHAPE, dtype=bool)
    field_mask[10:-10, 10:, 8:-8] = True
    made = reconstruct(_inputs(field_mask=field_mask), method="closed-form")
    solved = field_mask & made.array("brain_mask")
    np.testing.assert_array_equal(made.array("chi_total") != 0, solved)
    assert not (made.array("chi_para") + made.array("chi_dia"))[~solved].any()


def test_without_csf_the_brain_is_the_reference_and_a_warning_says_so() -> None:
    made = reconstruct(_inputs("local_field", "brain_mask"), method="tkd")
    assert "neither csf_mask nor r2star" in made["chi_total"].warnings[0]
    assert abs(made.array("chi_total")[made.array("brain_mask")].mean(dtype=np.float64)) < 1e-9


def test_a_given_csf_mask_counts_before_r2star_and_without_its_sulci() -> None:
    inputs = _inputs()
    csf = inputs.array("r2star") < 5
    sulci = inputs.array("brain_mask").copy()
    sulci[4:-4, 4:-4, 4:-4] = False
    assert sulci.sum() > 20
    given = Map(name="csf_mask", data=csf | sulci, grid=_grid())
    uniform = Map(name="r2star", data=np.full(_SHAPE, 20.0), grid=_grid())
    made = reconstruct(inputs.including(given, uniform), method="tkd")
    assert made["chi_total"].options["reference"]["region"] == "CSF in the ventricles (csf_mask)"
    assert abs(made.array("chi_total")[csf].mean(dtype=np.float64)) < 1e-9


def test_warnings_of_the_inputs_are_handed_on() -> None:
    inputs = _inputs()
    doubtful = Map(name="r2prime", data=inputs.array("r2prime"), grid=_grid(), method="scaled r2star",
                   warnings=("It is a guess.",))  # fmt: skip
    made = reconstruct(inputs.including(doubtful), method="closed-form")
    assert made["chi_dia"].warnings == ("It is a guess.",)
    assert made["chi_dia"].options["inputs"]["r2prime"] == "scaled r2star"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"r2prime": 0.001}, r"r2prime: got a median of 0\.00.* Is it in 1/ms"),
        ({"r2prime": 1000.0}, r"r2prime: got a median of .* between 0\.05 and 500"),
        ({"local_field": 1277.0}, r"local_field: got a 99\.9th percentile.*Is it in Hz"),
        ({"local_field": 0.0}, r"local_field: got a 99\.9th percentile of its magnitude of 0 "),
        ({"r2star": 0.001}, r"r2star: got a median of 0\.0.* Is it in 1/ms"),
    ],
)
def test_implausible_units_are_refused(changed: dict[str, float], message: str) -> None:
    scaled = [Map(name=one, data=_truth().array(one) * factor, grid=_grid()) for one, factor in changed.items()]
    with pytest.raises(InputError, match=message):
        reconstruct(_inputs().including(*scaled), method="closed-form")


def test_missing_maps_are_named_with_the_methods_that_do_without() -> None:
    with pytest.raises(InputError, match=r"no r2prime; expected .*Methods that do without: tkd, "):
        reconstruct(_inputs("local_field", "brain_mask"), method="closed-form")
    with pytest.raises(InputError, match=r"no local_field; .*Every method needs it\."):
        reconstruct(_inputs("r2prime", "brain_mask"), method="closed-form")
    with pytest.raises(InputError, match="no voxel inside"):
        reconstruct(_inputs(field_mask=np.zeros(_SHAPE, dtype=bool)), method="tkd")
    with pytest.raises(InputError, match="options of tkd: got ClosedFormOptions; expected TkdOptions"):
        reconstruct(_inputs(), method="tkd", options=ClosedFormOptions())


def test_progress_rises_to_one_and_cancel_stops() -> None:
    seen: list[Status] = []
    reconstruct(_inputs(), method="closed-form", progress=seen.append)
    fractions = [status.fraction for status in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    with pytest.raises(CancelledError):
        reconstruct(_inputs(), method="closed-form", progress=lambda status: status.fraction < 0.5)
