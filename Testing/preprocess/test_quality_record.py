"""The record of quality: numbers of a simulated patient against its truth, and every limit with its words."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from ChiSepPhantoms import Phantom
from ChiSepPreprocessLib.artifacts import Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.preprocess_options import PreprocessOptions
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quality.limits import LIMITS, broken
from ChiSepPreprocessLib.quality.record import QualityRecord, quality_record
from ChiSepPreprocessLib.steps import Run, total_field_step

#: For each limit the section and field that it looks at, and a value beyond it.
BEYOND: dict[str, tuple[str, str, float]] = {
    "slice alternation": ("reading", "slice_alternation_rad", 3.1),
    "brain volume": ("mask", "volume_ml", 410.0),
    "valid share of the brain": ("mask", "valid_fraction", 0.5),
    "SNR of the first echo": ("signal", "first_echo_snr", 8.0),
    "SNR of the last echo": ("signal", "last_echo_snr", 1.7),
    "phase residual": ("field", "phase_residual_rad", 0.6),
    "field jumps": ("field", "jump_fraction", 0.01),
    "field noise": ("field", "noise_ppm", 0.02),
    "local field": ("field", "local_field_ppm", 0.04),
    "clamped R2*": ("relaxation", "r2star_clamped_fraction", 0.08),
    "clamped R2": ("relaxation", "r2_clamped_fraction", 0.05),
    "negative R2′": ("relaxation", "negative_r2prime_fraction", 0.4),
    "overlap of the spin echo": ("registration", "overlap_fraction", 0.7),
    "signal of the spin echo": ("registration", "spin_echo_coverage", 0.6),
    "translation": ("registration", "translation_mm", 14.0),
    "rotation": ("registration", "rotation_deg", 25.0),
}


@pytest.fixture(scope="module")
def record(patient: Phantom) -> QualityRecord:
    return quality_record(patient.acquisition, patient.truth)


def with_number(record: QualityRecord, section: str, field: str, value: Any) -> QualityRecord:
    return replace(record, **{section: replace(getattr(record, section), **{field: value})})


def sigma_map(patient: Phantom, error_ppm: float, options: dict[str, float]) -> Map:
    data = np.full(patient.truth.grid.shape, error_ppm, np.float32)
    return Map(name="field_sigma", data=data, grid=patient.truth.grid, options=options)


def test_good_data_raise_no_warning(record: QualityRecord) -> None:
    assert record.warnings == ()


def test_numbers_are_those_of_the_simulation(patient: Phantom, record: QualityRecord) -> None:
    truth, scan = patient.truth, patient.acquisition.scan
    mask = truth.array("brain_mask")
    assert record.mask.volume_ml == pytest.approx(mask.sum() * 2.2 * 2.0 * 2.5 / 1e3)
    assert record.geometry.voxel_size_mm == pytest.approx((2.2, 2.0, 2.5))
    assert record.geometry.b0_tilt_deg == pytest.approx(np.degrees(np.arccos(max(map(abs, scan.b0_direction_ijk)))))
    assert record.geometry.echo_spacing_ms == pytest.approx(5.03)
    assert record.geometry.echo_spacing_deviation_ms == pytest.approx(0.0, abs=1e-9)
    assert [echo.time_ms for echo in record.echoes] == pytest.approx([1e3 * time for time in scan.echo_times_s])
    assert record.relaxation.r2star_per_s == pytest.approx(float(np.median(truth.array("r2star")[mask])), rel=1e-6)


def test_phase_residual_is_small_and_no_voxel_jumps(record: QualityRecord) -> None:
    """SNR 100: noise is 0.010 rad in the first echo and 0.015 rad in the last; median of its size 0.67 of that."""
    residuals = [echo.phase_residual_rad for echo in record.echoes]
    assert all(one is not None and 0.006 < one < 0.03 for one in residuals)
    assert record.field.phase_residual_rad == max(one for one in residuals if one is not None)
    assert record.field.jump_fraction is not None
    assert record.field.jump_fraction < 1e-4


def test_record_goes_to_json_and_back(record: QualityRecord) -> None:
    text = json.dumps(asdict(record), allow_nan=False)
    assert json.loads(text)["echoes"][2]["number"] == 3


def test_numbers_that_are_not_there_are_none(patient: Phantom) -> None:
    mask = patient.truth["brain_mask"]
    found = quality_record(patient.acquisition, MapSet(mask.grid, patient.acquisition.scan, {"brain_mask": mask}))
    assert set(asdict(found.relaxation).values()) == {None}
    assert set(asdict(found.registration).values()) == {None}
    assert found.field.phase_residual_rad is found.field.jump_fraction is found.field.local_field_ppm is None
    assert found.mask.valid_fraction is None
    assert [echo.phase_residual_rad for echo in found.echoes] == [None] * 6
    assert found.reading.phase_scaling is None or isinstance(found.reading.phase_scaling, str)


def test_numbers_of_the_steps_come_from_the_options(patient: Phantom) -> None:
    moved = {"translation_mm": 1.5, "rotation_deg": 0.7, "overlap": 0.99, "mutual_information_before": 0.3,
             "mutual_information_after": 0.5}  # fmt: skip
    maps = patient.truth.including(
        replace(patient.truth["r2star"], options={"clamped_fraction": 0.003}, warnings=("spoken",)),
        replace(patient.truth["r2"], options={"clamped_fraction": 0.001, "registration": moved}, method="epg"),
        replace(patient.truth["r2prime"], options={"negative_fraction": 0.04}),
        sigma_map(patient, 0.0004, {"noise_sigma": 3.5}),
    )
    found = quality_record(patient.acquisition, maps)
    assert found.relaxation.r2star_clamped_fraction == 0.003
    assert found.relaxation.r2_clamped_fraction == 0.001
    assert found.relaxation.negative_r2prime_fraction == 0.04
    assert (found.registration.translation_mm, found.registration.rotation_deg) == (1.5, 0.7)
    assert found.registration.mutual_information_gain == pytest.approx(0.2)
    assert found.registration.overlap_fraction == 0.99
    assert found.signal.noise == 3.5
    assert found.field.noise_ppm == pytest.approx(0.0004)
    assert found.reported == (*patient.acquisition.warnings, "spoken")


def test_negative_share_and_coverage_are_counted_where_no_step_says_them(patient: Phantom) -> None:
    mask = patient.truth.array("brain_mask")
    rate = patient.truth.array("r2star") + 1.0
    lower = np.zeros_like(mask)
    lower[:, :, : mask.shape[2] // 2] = True
    half = Map(name="r2", data=np.where(lower & mask, rate, 0).astype(np.float32), grid=patient.truth.grid, method="x")
    maps = patient.truth.including(half)
    found = quality_record(patient.acquisition, replace(maps, maps={k: v for k, v in maps.items() if k != "r2prime"}))
    assert found.relaxation.negative_r2prime_fraction == 1.0
    assert found.registration.spin_echo_coverage == pytest.approx((lower & mask).sum() / mask.sum())


def test_noise_of_the_measured_field_is_that_of_the_simulation(patient: Phantom) -> None:
    run = Run(patient.acquisition, PreprocessOptions(), {"brain_mask": patient.truth["brain_mask"]})
    maps = MapSet(patient.truth.grid, patient.acquisition.scan, run.maps)
    found = quality_record(patient.acquisition, maps.including(*total_field_step(run, Reporter(None))))
    assert found.signal.noise == pytest.approx(patient.noise_sigma, rel=0.03)  # measured 1.6 %
    assert found.signal.first_echo_snr == pytest.approx(100.0, rel=0.03)


def test_noise_is_taken_from_phase_where_the_field_was_given(patient: Phantom, record: QualityRecord) -> None:
    """4 % too much: the formula expects a field with noise, and the true one has none."""
    assert record.signal.noise == pytest.approx(1.04 * patient.noise_sigma, rel=0.01)
    assert record.field.noise_ppm is None


def test_inverted_echo_order_is_noticed_and_not_taken_for_noise(patient: Phantom) -> None:
    reversed_echoes = replace(patient.acquisition, gre_phase=patient.acquisition.gre_phase[..., ::-1].copy())
    (text,) = quality_record(reversed_echoes, patient.truth).warnings
    assert "worst echo" in text
    assert "echo times and their order" in text


def test_every_limit_is_tested() -> None:
    assert list(BEYOND) == [limit.name for limit in LIMITS]


@pytest.mark.parametrize("name", BEYOND)
def test_limit_speaks_beyond_its_range_and_only_there(record: QualityRecord, name: str) -> None:
    section, field, value = BEYOND[name]
    (limit,) = broken(with_number(record, section, field, value))
    words = limit.words(with_number(record, section, field, value))
    assert limit.name == name
    assert words == f"{limit.finding.format(value=value)} {limit.advice}"
    assert "{" not in limit.finding.format(value=value)
    assert limit.finding.endswith(".")
    assert limit.advice.endswith(".")
    assert broken(with_number(record, section, field, None)) == ()
    for edge in (limit.low, limit.high):
        if np.isfinite(edge):
            assert broken(with_number(record, section, field, edge)) == ()


def test_options_that_the_advice_names_are_there() -> None:
    named = [json.loads(found[0]) for limit in LIMITS if (found := re.search(r"\{.*\}", limit.advice))]
    assert len(named) == 4
    for values in named:
        from_mapping(PreprocessOptions, values["preprocess"], "advice")


def test_corrected_alternation_is_no_warning(record: QualityRecord) -> None:
    alternating = with_number(record, "reading", "slice_alternation_rad", 3.1)
    assert broken(with_number(alternating, "reading", "slice_alternation_corrected", True)) == ()


def test_empty_mask_is_refused(patient: Phantom) -> None:
    empty = replace(patient.truth["brain_mask"], data=np.zeros(patient.truth.grid.shape, np.bool_))
    with pytest.raises(InputError, match="empty brain mask"):
        quality_record(patient.acquisition, patient.truth.including(empty))
