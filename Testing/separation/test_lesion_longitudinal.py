"""χ changes of lesions beside their noise: known changes, known noise, and what must not be called a change."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ChiSeparationLib.lesions.change_noise import NONE, REPEATS, SPHERES, NoiseOptions, ball
from ChiSeparationLib.lesions.common_ground import Scan
from ChiSeparationLib.lesions.comparability import differences
from ChiSeparationLib.lesions.longitudinal import FollowUp, TwoTimes, follow_lesions
from ChiSeparationLib.lesions.longitudinal_table import Called, LongitudinalOptions, LongitudinalRow
from ChiSeparationLib.lesions.matching import Kind, MatchOptions
from ChiSeparationLib.report.longitudinal_page import render_longitudinal_page
from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter

SHAPE = (70, 52, 26)
SIZE_MM = (1.0, 1.1, 1.6)
#: Noise of a voxel at each time, and what the tissue has, ppb.
SIGMA, PARA, DIA = 5.0, 40.0, 60.0


def _grid() -> Grid:
    """Oblique and anisotropic."""
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1.0, 0.0, 0.0], [0.0, 0.96, -0.28], [0.0, 0.28, 0.96]]) @ turn @ np.diag(SIZE_MM)
    return Grid(SHAPE, affine)


GRID = _grid()
_INDEX = np.moveaxis(np.indices(SHAPE), 0, -1)


def _distance_mm(i: float, j: float, k: float) -> Array:
    return np.linalg.norm((_INDEX - (i, j, k)) * SIZE_MM, axis=-1)


def _lattice(radius_mm: float = 2.6) -> Array:
    """Lesions in one half of the volume, 12 mm apart; the other half is free."""
    labels, number = np.zeros(SHAPE, np.int32), 0
    for i in (7, 19, 31):
        for j in (7, 18, 29, 40):
            for k in (5, 13, 21):
                number += 1
                labels[_distance_mm(i, j, k) <= radius_mm] = number
    return labels


def _maps(para_ppb: Array, dia_ppb: Array, *, method: str = "closed-form", **masks: Any) -> MapSet:
    scan = ScanParameters(echo_times_s=(0.005, 0.010), field_strength_t=3.0, b0_direction_ijk=GRID.b0_direction_ijk)
    arrays: dict[str, Any] = {"brain_mask": np.ones(SHAPE, bool), **masks}
    made = {name: Map(name=name, data=one, grid=GRID) for name, one in arrays.items()}
    for name, ppb in (("chi_para", para_ppb), ("chi_dia", dia_ppb)):
        made[name] = Map(name=name, data=(ppb / 1e3).astype(np.float32), grid=GRID, method=method)
    return MapSet(GRID, scan, made)


def _scan(seed: int, add_para: Any = 0.0, add_dia: Any = 0.0, **masks: Any) -> MapSet:
    rng = np.random.default_rng(seed)
    noise = [rng.normal(0.0, SIGMA, SHAPE) for _ in range(2)]
    return _maps(PARA + noise[0] + add_para, DIA + noise[1] + add_dia, **masks)


def _times(first: MapSet, second: MapSet, before: Array, after: Array | None = None, **more: Any) -> TwoTimes:
    after = before if after is None else after
    return TwoTimes(first=Scan(first), second=Scan(second), first_lesions=before, second_lesions=after, **more)


def _values(found: FollowUp, name: str, measure: str, part: str) -> Array:
    values = [getattr(row.changes[name, measure], part) for row in found.table.rows]
    return np.array([one for one in values if one is not None])


def _row(found: FollowUp, label: int) -> LongitudinalRow:
    return next(row for row in found.table.rows if row.match.label == label)


class Known(NamedTuple):
    """A change and its noise, with and without the contour's part."""

    change: float
    noise: float
    tissue_noise: float


def _known(row: LongitudinalRow, name: str, measure: str) -> Known:
    one = row.changes[name, measure]
    assert one.change is not None and one.noise is not None
    assert one.z == pytest.approx(one.change / one.noise)
    return Known(one.change, one.noise, np.sqrt(one.noise**2 - one.contour_noise**2))


LESIONS = _lattice()
VOXELS = np.count_nonzero(LESIONS == 1)


@pytest.fixture(scope="module")
def unchanged() -> FollowUp:
    """Nothing changes but noise."""
    return follow_lesions(_times(_scan(1), _scan(2), LESIONS))


def test_the_noise_of_independent_voxels_is_what_counting_them_says(unchanged: FollowUp) -> None:
    row = unchanged.table.rows[0]
    assert (row.noise_source, len(unchanged.table.rows)) == (SPHERES, 36)
    assert row.noise_voxels == pytest.approx(VOXELS, rel=0.19)
    for name in ("chi_para", "chi_dia"):
        samples, noise = row.changes[name, "mean_ppb"].noise_samples, _known(row, name, "mean_ppb").tissue_noise
        assert samples > 30
        # Three standard errors of a standard deviation from so many samples.
        assert noise == pytest.approx(SIGMA * np.sqrt(2 / row.noise_voxels), rel=3 / np.sqrt(2 * samples))
        assert _known(row, name, "contrast_ppb").tissue_noise > 0.95 * noise


def test_without_a_change_z_is_standard_normal(unchanged: FollowUp) -> None:
    """36 lesions on two maps of four pairs of scans: mean and spread of z as they should be; nothing is called."""
    pairs = unchanged, *(follow_lesions(_times(_scan(seed), _scan(seed + 1), LESIONS)) for seed in (3, 5, 7))
    for measure in ("mean_ppb", "contrast_ppb", "rim_mean_ppb"):
        z = np.concatenate([_values(one, name, measure, "z") for one in pairs for name in ("chi_para", "chi_dia")])
        assert z.size == 288
        assert abs(z.mean()) < 3 / np.sqrt(z.size)
        # Twice the sampling error of 288 values over noise from eight times about 40 spheres.
        assert z.std() == pytest.approx(1.0, abs=2 * np.sqrt(1 / (2 * 288) + 1 / (2 * 320)))
        called = [row.changes[name, measure].called for row in unchanged.table.rows for name in ("chi_para", "chi_dia")]
        assert set(called) == {Called.NONE}
    assert {row.match.kind for row in unchanged.table.rows} == {Kind.STABLE}
    assert all(row.flags == () for row in unchanged.table.rows)


def test_z_is_the_change_in_units_of_the_noise_that_was_put_in(unchanged: FollowUp) -> None:
    difference = np.random.default_rng(2).normal(0.0, SIGMA, SHAPE) - np.random.default_rng(1).normal(0.0, SIGMA, SHAPE)
    true = np.array([difference[label == LESIONS].mean() for label in range(1, 37)]) / (SIGMA * np.sqrt(2 / VOXELS))
    slope = np.polyfit(true, _values(unchanged, "chi_para", "mean_ppb", "z"), 1)
    assert slope[0] == pytest.approx(1.0, rel=3 / np.sqrt(2 * 40))
    assert slope[1] == pytest.approx(0.0, abs=0.05)


def test_known_changes_come_back_and_are_called() -> None:
    rise, fall = LESIONS == 7, LESIONS == 20
    found = follow_lesions(_times(_scan(3), _scan(4, add_para=12.0 * rise, add_dia=-15.0 * fall), LESIONS))
    for label, name, true, called in ((7, "chi_para", 12.0, Called.RISE), (20, "chi_dia", -15.0, Called.FALL)):
        for measure in ("mean_ppb", "contrast_ppb"):
            change = _known(_row(found, label), name, measure)
            assert change.change == pytest.approx(true, abs=3 * change.noise)
            assert _row(found, label).changes[name, measure].called is called
    others = [row.changes[name, "contrast_ppb"].called for row in found.table.rows for name in ("chi_para", "chi_dia")
              if (row.match.label, name) not in ((7, "chi_para"), (20, "chi_dia"))]  # fmt: skip
    assert set(others) == {Called.NONE}


def test_both_limits_must_be_passed() -> None:
    times = _times(_scan(3), _scan(4, add_para=12.0 * (LESIONS == 7)), np.where(LESIONS == 7, 7, 0))
    for z_limit, least_ppb, called in ((3.0, 20.0, Called.NONE), (50.0, 4.0, Called.NONE), (1e-9, 0.0, Called.RISE)):
        found = follow_lesions(times, LongitudinalOptions(z_limit=z_limit, least_change_ppb=least_ppb))
        assert _row(found, 7).changes["chi_para", "mean_ppb"].called is called


def test_the_contour_takes_its_share_of_the_contrast() -> None:
    """A lesion of 20 ppb, drawn 0.6 mm further out the second time, falls by about what is foreseen."""
    distance = _distance_mm(18.3, 25.2, 13.1)
    lesion, far = distance <= 6.0, distance <= 6.6
    maps = [_scan(n, add_para=20.0 * lesion) for n in (1, 2)]
    options = LongitudinalOptions(match=MatchOptions(contour_error_mm=0.6 / np.sqrt(2)))
    row = _row(follow_lesions(_times(maps[0], maps[1], lesion.astype(np.int32), far.astype(np.int32)), options), 1)
    volumes = np.count_nonzero(lesion), np.count_nonzero(far)
    change = row.changes["chi_para", "contrast_ppb"]
    assert change.change == pytest.approx(20.0 * (volumes[0] / volumes[1] - 1), abs=1.5)
    # One SD of the two contours' error, 0.6 mm, at the mean contrast and volume.
    assert change.contour_noise == pytest.approx(-(change.change or 0.0), rel=0.15)
    assert change.called is Called.NONE
    assert row.changes["chi_dia", "contrast_ppb"].contour_noise < 0.5


def test_core_and_rim_are_told_apart() -> None:
    labels = np.zeros(SHAPE, np.int32)
    distance = _distance_mm(18, 25, 13)
    labels[distance <= 7.0] = 1
    # The rim is where a voxel's centre lies at most 1 mm below the surface; what rises here lies above that.
    found = follow_lesions(_times(_scan(5), _scan(6, add_para=20.0 * (distance > 4.5) * (distance <= 7.0)), labels))
    changes = _row(found, 1).changes
    assert changes["chi_para", "rim_mean_ppb"].change == pytest.approx(20.0, abs=1.0)
    assert 0.0 < _known(_row(found, 1), "chi_para", "core_mean_ppb").change < 12.0
    assert changes["chi_para", "rim_mean_ppb"].called is Called.RISE
    assert changes["chi_dia", "rim_mean_ppb"].called is Called.NONE


def test_a_shift_of_all_tissue_is_noise_of_the_mean_and_none_of_the_contrast() -> None:
    found = follow_lesions(_times(_scan(1), _scan(2, add_para=9.0), LESIONS))
    changes = _row(found, 1).changes
    assert changes["chi_para", "mean_ppb"].noise == pytest.approx(9.0, rel=0.05)
    assert changes["chi_para", "mean_ppb"].called is Called.NONE
    assert _known(_row(found, 1), "chi_para", "contrast_ppb").noise < 2.0


def test_repeat_scans_give_the_noise_of_the_lesions_themselves() -> None:
    """Repeats in which lesions alone scatter by a known amount more than white matter does."""
    scatter = np.random.default_rng(8).normal(0.0, 6.0, (3, LESIONS.max() + 1))
    scatter[:, 0] = 0.0
    repeats = tuple(Scan(_scan(20 + n, add_para=one[LESIONS])) for n, one in enumerate(scatter))
    found = follow_lesions(_times(_scan(1), _scan(2), LESIONS, repeats=repeats),
                           LongitudinalOptions(noise=NoiseOptions(nearest_repeats=108)))  # fmt: skip
    row = _row(found, 1)
    expected = np.sqrt(6.0**2 + SIGMA**2 * 2 / VOXELS)
    assert (row.noise_source, row.noise_voxels) == (REPEATS, 0)
    assert row.changes["chi_para", "mean_ppb"].noise_samples == 108
    assert row.changes["chi_para", "mean_ppb"].noise == pytest.approx(expected, rel=3 / np.sqrt(2 * 108))
    assert row.changes["chi_dia", "mean_ppb"].noise == pytest.approx(SIGMA * np.sqrt(2 / VOXELS), rel=0.25)
    assert any("repeat scans" in text for text in found.table.statements)


def test_too_few_repeats_leave_the_noise_to_white_matter() -> None:
    labels = np.where(np.isin(LESIONS, (1, 2, 3)), LESIONS, 0)
    found = follow_lesions(_times(_scan(1), _scan(2), labels, repeats=(Scan(_scan(3)),)))
    assert {row.noise_source for row in found.table.rows} == {SPHERES}
    assert any("The repeat scans give 3 changes of lesions, too few" in text for text in found.table.statements)


def test_new_and_gone_lesions_are_measured_in_the_same_voxels_at_both_times() -> None:
    before, after = np.where(LESIONS == 5, 0, LESIONS), np.where(LESIONS == 9, 0, LESIONS)
    found = follow_lesions(_times(_scan(3), _scan(4, add_para=14.0 * (LESIONS == 5)), before, after))
    new = next(row for row in found.table.rows if row.match.kind is Kind.NEW)
    gone = next(row for row in found.table.rows if row.match.kind is Kind.GONE)
    assert (new.match.label, new.match.second, gone.match.label) == (37, (5,), 9)
    change = _known(new, "chi_para", "contrast_ppb")
    assert new.changes["chi_para", "contrast_ppb"].first == pytest.approx(0.0, abs=3.0)
    assert change.change == pytest.approx(14.0, abs=3 * change.noise)
    assert new.changes["chi_para", "contrast_ppb"].called is Called.RISE
    assert new.flags == ("Absent at the first time, where the same voxels were measured.",)
    assert gone.flags == ("Absent at the second time, where the same voxels were measured.",)
    assert np.array_equal(found.matches.renumbered(after) == 37, after == 5)


def test_lesions_outside_the_field_of_one_time_are_flagged_and_not_called() -> None:
    field = np.ones(SHAPE, bool)
    field[:8] = False  # half of the first lesions
    change = 30.0 * (LESIONS == 1)
    found = follow_lesions(
        _times(_scan(3, field_mask=np.ones(SHAPE, bool)), _scan(4, change, field_mask=field), LESIONS)
    )
    row = _row(found, 1)
    share = np.count_nonzero((LESIONS == 1) & ~field) / VOXELS
    assert row.flags == (f"{share:.0%} of its voxels lie outside the valid field of the second time.",
                         "That is too much to call a change.")  # fmt: skip
    assert {one.called for one in row.changes.values()} == {None}
    assert row.changes["chi_para", "mean_ppb"].change == pytest.approx(30.0, abs=6.0)
    assert _row(found, 36).changes["chi_para", "mean_ppb"].called is Called.NONE


def test_a_lesion_wholly_outside_the_field_has_no_values() -> None:
    field = np.ones(SHAPE, bool)
    field[:12] = False
    found = follow_lesions(_times(_scan(3, field_mask=field), _scan(4), LESIONS))
    row = _row(found, 1)
    assert {one.first for one in row.changes.values()} == {None}
    assert "100% of its voxels lie outside the valid field of the first time." in row.flags
    assert any("the whole lesion lies outside the valid field" in text for text in row.flags)


def test_what_one_scan_does_not_show_is_not_judged() -> None:
    """The second scan begins 12 voxels later, and its grid with it."""
    affine = GRID.affine.copy()
    affine[:3, 3] += 12 * affine[:3, 0]
    short = Grid((58, *SHAPE[1:]), affine)
    second = {name: replace(one, data=one.data[12:], grid=short) for name, one in _scan(4).items()}
    maps = MapSet(short, _scan(4).scan, second)
    found = follow_lesions(_times(_scan(3), maps, LESIONS, LESIONS[12:]))
    row = _row(found, 1)
    assert row.match.kind is Kind.UNSEEN
    assert row.flags[:2] == ("100% of it lie outside the second scan.",
                             "So whether it is new, gone or changed cannot be told.")  # fmt: skip
    assert {one.called for one in row.changes.values()} == {None}
    assert _row(found, 20).match.kind is Kind.STABLE
    back = follow_lesions(_times(maps, _scan(3), LESIONS[12:], LESIONS))
    assert {row.match.kind for row in back.table.rows} == {Kind.STABLE}
    assert any(
        "outside the first scan and are followed as far as it reaches: 1, 2, 3" in one for one in back.table.warnings
    )
    assert len(np.unique(back.matches.renumbered(LESIONS))) == 37


def test_white_matter_alone_gives_the_noise() -> None:
    """Grey matter is three times as noisy; spheres lie in the white matter that both times show."""
    white = _INDEX[..., 0] > 34
    labels = np.zeros(SHAPE, np.int32)
    labels[_distance_mm(52, 26, 13) <= 2.6] = 1
    rng, scans = np.random.default_rng(12), []
    for _ in range(2):
        noise = rng.normal(0.0, np.where(white, SIGMA, 3 * SIGMA), SHAPE)
        total = np.where(white, -30.0, 20.0) + rng.normal(0.0, 3.0, SHAPE)
        maps = _maps(100.0 + noise, DIA + rng.normal(0.0, SIGMA, SHAPE))
        rates = np.where(white, 20.0, 15.0) + rng.normal(0.0, 0.3, SHAPE)
        more = {"r2star": rates, "chi_total": total / 1e3}
        scans.append(maps.including(*(Map(name=name, data=one, grid=GRID) for name, one in more.items())))
    found = follow_lesions(_times(scans[0], scans[1], labels))
    row = _row(found, 1)
    change = row.changes["chi_para", "mean_ppb"]
    assert not any("White matter could not be told" in text for text in found.table.warnings)
    assert change.noise == pytest.approx(
        SIGMA * np.sqrt(2 / row.noise_voxels), rel=3 / np.sqrt(2 * change.noise_samples)
    )
    assert found.table.compared_maps == ("chi_para", "chi_dia", "chi_total")


def test_smaller_spheres_stand_in_where_larger_ones_do_not_fit() -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[_distance_mm(18, 26, 13) <= 15.0] = 1
    found = follow_lesions(_times(_scan(1), _scan(2), labels))
    row = _row(found, 1)
    assert row.noise_source == SPHERES
    assert row.noise_voxels < 0.5 * np.count_nonzero(labels)
    assert row.changes["chi_para", "mean_ppb"].noise_samples >= 10


def test_no_room_for_spheres_means_no_call() -> None:
    brain = _distance_mm(19, 29, 13) <= 9.0
    labels = np.where(LESIONS == 23, 1, 0)
    found = follow_lesions(_times(_scan(1, brain_mask=brain), _scan(2, 50.0 * (labels > 0), brain_mask=brain), labels))
    row = _row(found, 1)
    assert (row.noise_source, row.match.label) == (NONE, 1)
    assert {one.called for one in row.changes.values()} == {None}
    assert "No change is called, for want of white matter to measure the noise in." in row.flags


def test_no_lesions_are_a_normal_state(tmp_path: Path) -> None:
    empty = np.zeros(SHAPE, np.int32)
    table = follow_lesions(_times(_scan(1), _scan(2), empty)).table
    assert (table.rows, table.counts) == ((), {})
    assert "There is no lesion to follow." in table.statements
    table.to_csv(tmp_path / "changes.csv")
    assert (tmp_path / "changes.csv").read_text(encoding="utf-8").split(",")[:4] == [
        "label", "first_labels", "second_labels", "kind",
    ]  # fmt: skip
    appeared = follow_lesions(_times(_scan(1), _scan(2), empty, np.where(LESIONS == 1, 1, 0))).table
    assert appeared.counts == {"new": 1}


def test_the_table_says_the_same_as_csv_and_json(unchanged: FollowUp, tmp_path: Path) -> None:
    table = unchanged.table
    table.to_csv(tmp_path / "changes.csv")
    table.to_json(tmp_path / "changes.json")
    with (tmp_path / "changes.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    content = json.loads((tmp_path / "changes.json").read_text(encoding="utf-8"))
    assert tuple(rows[0]) == table.columns
    assert len(rows) == len(content["lesions"]) == 36
    for row, one in zip(rows, content["lesions"], strict=True):
        change = one["maps"]["chi_para"]["contrast_ppb"]
        assert float(row["chi_para_contrast_change_ppb"]) == change["change"] == change["second"] - change["first"]
        assert float(row["chi_para_contrast_z"]) == change["z"]
        assert (row["kind"], row["chi_para_contrast_called"]) == ("stable", "no change")
        assert one["label"] == int(row["label"])
    assert content["method"] == "closed-form"
    assert content["options"]["z_limit"] == 3.0
    assert any("from 3 SD of the noise and 4 ppb on" in text for text in content["statements"])


def test_the_page_shows_every_lesion_and_runs_nothing(unchanged: FollowUp) -> None:
    table = replace(unchanged.table, warnings=("<script>alert(1)</script>",))
    page = render_longitudinal_page(table)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "http" not in page.replace("http-equiv", "")
    change = table.rows[0].changes["chi_para", "contrast_ppb"]
    assert f"{change.change:+.1f} ± {change.noise:.1f}".replace("-", "−") in page
    assert page.count("<tr><th>36</th>") == 1 + len(table.options.measures)
    assert "36 stable" in page
    nothing = render_longitudinal_page(replace(table, rows=()))
    assert "no lesion at either time" in nothing
    assert "<table>" not in nothing


def test_maps_that_were_made_otherwise_are_warned_of_or_refused() -> None:
    first = _scan(1)
    assert differences(first, _scan(2)) == ()
    para = first["chi_para"]
    record = {
        "relaxivity": {"para_hz_per_ppm": 114.0, "dia_hz_per_ppm": 114.0},
        "reference": {"region": "CSF", "mean": 3},
        "network_weights": {"name": "a", "sha256": {"qsmnet": "00"}},
        "inputs": {"r2prime": "measured"},
    }
    known = first.including(replace(para, options=record))
    assert differences(known, known) == ()
    other_mean = {**record, "reference": {"region": "CSF", "mean": 9}}  # of the data, not of how they were made
    assert differences(known, first.including(replace(para, options=other_mean))) == ()
    for key, value, text in (
        ("relaxivity", {"para_hz_per_ppm": 137.0, "dia_hz_per_ppm": 137.0}, "relaxivity para_hz_per_ppm 114"),
        ("network_weights", {"name": "a", "sha256": {"qsmnet": "01"}}, "weights of the networks"),
        ("reference", {"region": "brain"}, "reference region region CSF at first, then region brain"),
        ("inputs", {"r2prime": "pseudo-r2"}, "r2prime measured at first, then r2prime pseudo-r2"),
    ):
        (warning,) = differences(known, first.including(replace(para, options={**record, key: value})))
        assert text in warning
    scan = replace(first.scan, field_strength_t=7.0, imaging_frequency_hz=None, echo_times_s=(0.004, 0.010))
    assert differences(first, replace(first, scan=scan)) == (
        "Another field strength: 3 T at first, then 7 T.", "Other echo times: 5, 10 ms at first, then 4, 10 ms.",
    )  # fmt: skip
    wide = Grid(SHAPE, GRID.affine @ np.diag((1.2, 1.0, 1.0, 1.0)))
    moved = MapSet(wide, first.scan, {name: replace(one, grid=wide) for name, one in first.items()})
    assert differences(first, moved) == ("Another voxel size: 1 × 1.1 × 1.6 mm at first, then 1.2 × 1.1 × 1.6 mm.",)
    without = MapSet(GRID, first.scan, {name: one for name, one in first.items() if name != "chi_dia"})
    assert differences(first, without) == ("There at one time only, and not compared: chi_dia.",)
    with pytest.raises(InputError, match="chi_para of the second time: got method chi-sep-medi; expected closed-form"):
        differences(first, first.including(replace(para, method="chi-sep-medi")))
    with pytest.raises(InputError, match="none at both times"):
        differences(without, MapSet(GRID, first.scan, {"brain_mask": first["brain_mask"]}))


def test_warnings_reach_the_table() -> None:
    first, second = _scan(1), _scan(2)
    para = replace(second["chi_para"], options={"relaxivity": {"para_hz_per_ppm": 137.0, "dia_hz_per_ppm": 137.0}})
    table = follow_lesions(
        _times(first, second.including(para), np.where(LESIONS == 1, 1, 0), warnings=("moved",))
    ).table
    assert table.warnings[0] == "moved"
    assert "relaxivity not stated at first, then para_hz_per_ppm 137" in table.warnings[1]


def test_a_ball_is_the_voxels_nearest_to_its_middle() -> None:
    for voxels in (1, 7, 40, 333):
        steps, radius = ball(voxels, GRID)
        length = np.linalg.norm(steps * SIZE_MM, axis=1)
        assert len(np.unique(steps, axis=0)) == voxels
        assert length.max() == pytest.approx(radius)
        everything = np.linalg.norm((np.moveaxis(np.indices((31, 31, 31)), 0, -1) - 15) * SIZE_MM, axis=-1)
        assert np.count_nonzero(everything < radius * 0.999) <= voxels <= np.count_nonzero(everything <= radius * 1.001)


def test_what_does_not_fit_is_refused() -> None:
    first, second = _scan(1), _scan(2)
    with pytest.raises(InputError, match="second lesions"):
        follow_lesions(_times(first, second, LESIONS, LESIONS[1:]))
    with pytest.raises(InputError, match="neither brain_mask nor field_mask"):
        follow_lesions(_times(first, MapSet(GRID, second.scan, {"chi_para": second["chi_para"]}), LESIONS))
    nowhere = [_scan(n, brain_mask=_INDEX[..., 0] < 20 if n == 1 else _INDEX[..., 0] > 40) for n in (1, 2)]
    with pytest.raises(InputError, match="no voxel that is valid at both times"):
        follow_lesions(_times(nowhere[0], nowhere[1], LESIONS))
    wrong: dict[str, Any]
    for wrong in ({"measures": ("sd",)}, {"measures": ()}, {"z_limit": 0.0}, {"least_change_ppb": -1.0}):
        with pytest.raises(InputError, match="expected"):
            LongitudinalOptions(**wrong)
    with pytest.raises(InputError, match="options of the noise"):
        NoiseOptions(least_samples=60)
    with pytest.raises(CancelledError):
        follow_lesions(_times(first, second, LESIONS), report=Reporter(lambda _: False))
