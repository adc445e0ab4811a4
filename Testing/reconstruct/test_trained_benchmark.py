"""The evaluation of trained networks: planted spheres, classes of lesions, weights, and what the tables say."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import installed_weights
from ChiSepPhantoms import Phantom, write_truth
from ChiSepPhantoms.field import dipole_field_ppm
from ChiSepPhantoms.tissues import relaxivities_hz_per_ppm
from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_mapset, write_nifti
from ChiSepReconstructLib.evaluation.evaluate import evaluation_mask
from ChiSepReconstructLib.networks.weights.store import DATA_VARIABLE, weights_folder

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import lesion_classes
import planted
import trained
import trained_tables
from judged import MEAN_OF_TRUTH, SPIN_ECHO, Case, judge, nrmse_centred, recovered, spheres, write_examination

STRONG_PPM = 0.3
CONSTANT = Case(trained_tables.CONSTANT_MAP, MEAN_OF_TRUTH)


def silent(patient: Phantom, sigma: float = 0.0) -> Phantom:
    """The same head with a signal of 1 everywhere in all echoes, or with noise alone."""
    shape = patient.acquisition.gre_magnitude.shape
    signal = np.ones(shape, dtype=np.complex64)
    if sigma:
        real, imaginary = np.random.default_rng(1).normal(0, sigma, (2, *shape)).astype(np.float32)
        signal = real + 1j * imaginary
    acquisition = replace(patient.acquisition, gre_magnitude=np.abs(signal), gre_phase=np.angle(signal))
    return replace(patient, acquisition=acquisition, noise_sigma=sigma)


def one_sphere(patient: Phantom, kind: str = "para", chi_ppm: float = 1.0, radius_mm: float = 5.0) -> Any:
    centre = planted.places(patient, [radius_mm])[0]
    return planted.Source(kind=kind, chi_ppm=chi_ppm, radius_mm=radius_mm, centre_mm=centre)


def test_field_of_a_sphere_is_that_of_the_dipole_convolution() -> None:
    """Against the phantom's own convolution on 0.5 mm cells."""
    shape, size = (96, 96, 96), 0.5
    axes = [(np.arange(n, dtype=np.float32) - (n - 1) / 2) * size for n in shape]
    points = np.meshgrid(*axes, indexing="ij")
    one = planted.Source(kind="dia", chi_ppm=2.0, radius_mm=4.0, centre_mm=(0.3, -0.2, 0.4))
    convolved = dipole_field_ppm(-2.0 * one.share(points), (size,) * 3, (0.0, 0.0, 1.0))
    distance = np.sqrt(sum((p - c) ** 2 for p, c in zip(points, one.centre_mm, strict=True)))
    away = (distance > 5.0) & (distance < 16.0)
    difference = one.field_ppm(points)[away] - convolved[away]
    assert np.linalg.norm(difference) < 0.02 * np.linalg.norm(convolved[away])
    assert not one.field_ppm(points)[distance < 3.9].any()


@pytest.mark.parametrize("kind", ["para", "dia"])
def test_echoes_of_a_voxel_are_the_mean_over_its_inside(patient: Phantom, kind: str) -> None:
    """Against random points in voxels at the sphere's surface, in its middle and farther away."""
    one = one_sphere(patient, kind)
    after = planted.plant(silent(patient), [one]).acquisition
    affine, scan = patient.truth.grid.affine, patient.acquisition.scan
    para, dia = relaxivities_hz_per_ppm(patient.options.relaxivity, patient.options.field_strength_t)
    centre = np.linalg.solve(affine, [*one.centre_mm, 1.0])[:3]
    rng = np.random.default_rng(5)
    for offset in ((0, 0, 0), (2, 0, 0), (0, 2, 1), (0, 0, 2), (3, 2, 1), (0, 0, 9)):
        voxel = np.rint(centre + offset).astype(int)
        inside = affine[:3, :3] @ (voxel[:, None] + rng.uniform(-0.5, 0.5, (3, 40000))) + affine[:3, 3:]
        x, y, z = inside - np.array(one.centre_mm)[:, None]
        r, chi = np.sqrt(x**2 + y**2 + z**2), 1.0 if kind == "para" else -1.0
        field = np.where(r > 5.0, chi / 3 * (5.0 / r) ** 3 * (3 * (z / r) ** 2 - 1), 0.0)
        decay = np.where(r <= 5.0, para if kind == "para" else dia, 0.0)
        for echo, time in enumerate(scan.echo_times_s):
            turns = 2j * np.pi * field * scan.reference_frequency_hz * 1e-6
            expected = np.exp(time * (turns - decay)).mean()
            found = after.gre_magnitude[(*voxel, echo)] * np.exp(1j * after.gre_phase[(*voxel, echo)])
            assert abs(found - expected) < 0.02


def test_noise_stays_what_it_was(patient: Phantom) -> None:
    """Also where hardly any signal is left."""
    one = one_sphere(patient, chi_ppm=3.0, radius_mm=8.0)
    after = planted.plant(silent(patient, sigma=2.0), [one])
    sphere = after.truth.array("lesions") == 1
    last = after.acquisition.gre_magnitude[sphere][:, -1]
    assert np.count_nonzero(sphere) > 150
    assert np.sqrt(np.mean(last**2) / 2) == pytest.approx(2.0, rel=0.08)


def test_truth_holds_the_spheres(patient: Phantom) -> None:
    sources = spheres(patient, STRONG_PPM)
    truth, before = planted.plant(patient, sources).truth, patient.truth
    volume = before.grid.voxel_volume_mm3
    added = {name: truth.array(name).astype(float) - before.array(name) for name in truth if name != "lesions"}
    for kind in ("para", "dia"):
        moment = sum(STRONG_PPM * 4 / 3 * np.pi * one.radius_mm**3 for one in sources if one.kind == kind)
        assert added[f"chi_{kind}"].sum() * volume == pytest.approx(moment, rel=0.01)
    para, dia = relaxivities_hz_per_ppm(patient.options.relaxivity, patient.options.field_strength_t)
    np.testing.assert_allclose(added["chi_total"], added["chi_para"] - added["chi_dia"], atol=1e-6)
    np.testing.assert_allclose(added["r2prime"], para * added["chi_para"] + dia * added["chi_dia"], atol=1e-4)
    brain = before.array("brain_mask")
    np.testing.assert_allclose(added["local_field"], added["total_field"] * brain, atol=1e-5)
    assert set(np.unique(truth.array("lesions"))) >= {0, 1, 2}


def test_recovered_values_of_known_maps(patient: Phantom) -> None:
    """A map that saturates at half of the spheres' value."""
    after = planted.plant(patient, spheres(patient, 10.0))
    truth = after.truth
    perfect = list(recovered(truth, truth))
    known = [one for one in perfect if one["recovered_percent"] is not None]
    assert [one["recovered_percent"] for one in known] == pytest.approx([100.0] * len(known))
    assert all(one["error_around_ppb"] == 0 for one in known)
    halved = truth.including(*(
        replace(truth[name], data=np.where(truth.array("lesions") > 0, 0.5, 1.0).astype(np.float32) * truth.array(name))
        for name in ("chi_para", "chi_dia")
    ))  # fmt: skip
    assert next(iter(recovered(halved, truth)))["recovered_percent"] == pytest.approx(50.0)


def test_perfect_maps_have_the_true_classes(patient: Phantom, tmp_path: Path) -> None:
    write_truth(patient, tmp_path)
    designed = lesion_classes.designed_classes(tmp_path)
    found = lesion_classes.classified_lesions(patient.truth, patient.truth, patient.labels, designed)
    assert len(found) >= 9
    assert all(one["volume_mm3"] > 20 for one in found)
    for key in lesion_classes.GRADED:
        assert all(one[key]["class"] == one[key]["true_class"] for one in found)
        assert all(one[key]["contrast_ppb"] == one[key]["true_contrast_ppb"] for one in found)
    # Largest first: made isointense in χ_para and hypointense in χ_dia.
    assert (found[0]["chi_para"]["true_class"], found[0]["chi_dia"]["true_class"]) == ("isointense", "hypointense")


def test_a_brighter_lesion_gets_another_class(patient: Phantom, tmp_path: Path) -> None:
    write_truth(patient, tmp_path)
    truth, designed = patient.truth, lesion_classes.designed_classes(tmp_path)
    brighter = truth.array("chi_para") + np.float32(0.03) * (truth.array("lesions") == 1)
    estimate = truth.including(replace(truth["chi_para"], data=brighter))
    first = lesion_classes.classified_lesions(estimate, truth, patient.labels, designed)[0]
    assert first["chi_para"]["contrast_ppb"] - first["chi_para"]["true_contrast_ppb"] == pytest.approx(30.0, abs=0.01)
    assert (first["chi_para"]["class"], first["chi_para"]["true_class"]) == ("hyperintense", "isointense")
    assert first["chi_dia"]["class"] == first["chi_dia"]["true_class"]


@pytest.fixture(scope="module")
def examination(patient: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small patient as the benchmark keeps one."""
    folder = tmp_path_factory.mktemp("benchmark") / "50"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("judged.simulate", lambda options: patient)
        write_examination(folder, patient.options, None)
    return folder


def test_figures_of_a_method_without_networks(examination: Path) -> None:
    row = judge(examination, Case("quick", "closed-form", {"qsm": {"method": "tkd"}}), planted=False)
    assert set(row["maps"]) == {"chi_total", "chi_para", "chi_dia"}
    assert 10 < row["maps"]["chi_para"]["nrmse_percent"] < 70
    assert set(row["regions"]["chi_para"]) >= {"white_matter", "grey_matter", "globus_pallidus", "putamen"}
    true, estimated = row["regions"]["chi_para"]["globus_pallidus"]
    assert 0.05 < true < 0.16
    assert estimated == pytest.approx(true, rel=0.5)
    assert len(row["lesions"]) >= 9


def test_measured_r2prime_has_the_papers_peak(examination: Path) -> None:
    metrics = judge(examination, Case("spin echo", SPIN_ECHO), planted=False)["maps"]["r2prime"]
    # 20 log10(1 ppm / RMSE) and 100 RMSE / RMS of the truth: R2′ / 114 of about 0.06 ppm.
    rms_ppm = 10 ** (-metrics["psnr_db"] / 20) / (metrics["nrmse_percent"] / 100)
    assert 0.04 < rms_ppm < 0.09


def test_a_constant_map_is_judged_too(examination: Path) -> None:
    """It has the error that the truth's mean and variation say, and none of its contrast."""
    row, truth = judge(examination, CONSTANT, planted=False), read_mapset(examination / "truth")
    measured = read_mapset(examination / "measured")
    for name, metrics in row["maps"].items():
        true = truth.array(name)[evaluation_mask(name, measured, truth)[0]].astype(float)
        assert metrics["nrmse_percent"] == pytest.approx(100 * true.std() / np.sqrt(np.mean(true**2)), rel=1e-4)
        assert metrics["nrmse_centred_percent"] == pytest.approx(100.0, rel=1e-6)
    classes = [one["chi_para"]["class"] for one in row["lesions"]]
    assert set(classes) - {None} == {"isointense"}
    assert classes.count(None) < len(classes) / 2  # without enough white matter around them in these large voxels


def test_centred_error_is_blind_to_an_offset_alone(patient: Phantom) -> None:
    truth = patient.truth
    shifted, doubled = (
        truth.including(replace(truth["chi_para"], data=data.astype(np.float32)))
        for data in (truth.array("chi_para") + 0.05, 2 * truth.array("chi_para"))
    )
    assert nrmse_centred("chi_para", shifted, truth) < 1e-3
    assert nrmse_centred("chi_para", doubled, truth) == pytest.approx(100.0, rel=1e-4)


def test_figures_of_networks(examination: Path, data_folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Random ones: every figure is there, however bad."""
    installed_weights.install(voxel_size_mm=(5.0, 5.0, 5.0), largest_voxel_mm=5.0)
    monkeypatch.setenv(DATA_VARIABLE, str(data_folder))  # is set again when the test ends
    weights = trained.use_weights(["random"], tmp_path / "copies")[0]
    cases = trained.network_cases(weights, {})
    assert [one.method for one in cases] == ["qsmnet", "chi-sepnet-r2prime", "chi-sepnet-r2star", "r2primenet"]
    quick = [cases[2], Case("quick", "closed-form", {"qsm": {"method": "tkd"}}), CONSTANT]
    rows = {one.title: judge(examination, one, planted=False) for one in quick}
    assert "no independent judge" not in next(trained_tables.reports({"50": rows}, {}, weights))
    simulated = replace(weights, training_domain="simulated")
    text = "\n".join(trained_tables.reports({"50": rows}, {}, simulated))
    assert "the mean susceptibilities of nine tissues, nilearn's MNI template and 114 Hz/ppm at 2.893 T" in text
    constant = rows[CONSTANT.title]["maps"]["chi_para"]["nrmse_percent"]
    assert f"| chi-sepnet-r2star, χ_para: NRMSE, % | ≤ 41.6 | {constant:.1f} (reached) |" in text
    # QSM, χ_para, χ_dia, R2′, in each patient, lesions.
    assert text.count(f"\n| {CONSTANT.title} |") == 6
    assert "38.4 / 41.6 / 55.3 / 0.927" in text
    assert "MISSED" in text
    assert "| chi-sepnet-r2star, χ_para: NRMSE over chi-sep-medi's | ≤ 0.7 |  | not measured |  |" in text


def test_missing_weights_are_said(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one of the installed sets: none"):
        trained.use_weights(["ours"], tmp_path / "copies")
    with pytest.raises(InputError, match=r"a folder with manifest.json, or the name of an installed set"):
        trained.use_weights([str(tmp_path / "nowhere")], tmp_path / "copies")


def test_a_folder_of_weights_is_copied_once(data_folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    installed_weights.install()
    monkeypatch.setenv(DATA_VARIABLE, str(data_folder))
    folder = weights_folder() / "random"
    with pytest.raises(InputError, match="'random' twice"):
        trained.use_weights([str(folder), "random"], tmp_path / "one")
    assert trained.use_weights([str(folder)], tmp_path / "two")[0].name == "random"
    assert weights_folder() == tmp_path / "two" / "weights"


def test_other_weights_and_options_are_kept_apart(data_folder: Path) -> None:
    one, other = (installed_weights.install(name) for name in ("one", "other"))
    files = {
        trained.network_case("qsmnet", "qsmnet", weights, options).file_name
        for weights in (one, other) for options in ({}, {"resolution": "best"})
    }  # fmt: skip
    assert len(files) == 4
    with pytest.raises(InputError, match="resolutoin"):
        trained.network_case("qsmnet", "qsmnet", one, {"resolutoin": "best"})


def test_a_set_without_what_a_method_runs_is_said(data_folder: Path) -> None:
    alone = installed_weights.install(inputs={"chisepnet": ("local_field", "r2prime")})
    assert [one.method for one in trained.network_cases(alone, {})] == ["chi-sepnet-r2prime"]
    case = trained.ablation_case(alone, {})
    assert case.title == "chi-sepnet-r2prime from local_field, r2prime"
    qsm_only = installed_weights.install("qsm", inputs={"chisepnet": ("chi_total", "r2prime")})
    with pytest.raises(InputError, match="no qsmnet"):
        trained.ablation_case(qsm_only, {})


def test_training_and_tuning_seeds_are_refused() -> None:
    with pytest.raises(InputError, match="50 or more"):
        trained.patient_of(33, coarse=False)
    title, options = trained.patient_of(58, coarse=False)
    assert title == trained.patient_of(50, coarse=False)[0]
    assert options.seed == 58


def row(error: float, slope: float, classes: tuple[str, str]) -> dict[str, Any]:
    """Figures of a separation, all of one kind."""
    metrics = {"nrmse_percent": error, "nrmse_centred_percent": 50.0, "nrmse_detrended_percent": error, "psnr_db": 30.0,
               "hfen_percent": 50.0, "ssim": 0.9}  # fmt: skip
    keys = ("chi_total", "chi_para", "chi_dia")
    regions = {f"region {n}": (0.01 * n, slope * 0.01 * n) for n in range(1, 6)}
    graded = {"contrast_ppb": 12.0, "true_contrast_ppb": 11.0, "designed_class": "hyperintense",
              "true_class": "hyperintense"}  # fmt: skip
    lesions = [{"number": n, "volume_mm3": 90.0, **{key: {**graded, "class": one} for key in lesion_classes.GRADED}}
               for n, one in enumerate(classes)]  # fmt: skip
    return {"seconds": 1.0, "gives": list(keys), "maps": dict.fromkeys(keys, metrics),
            "regions": dict.fromkeys(keys, regions), "lesions": lesions}  # fmt: skip


def test_targets_are_told_from_the_figures() -> None:
    hyper, iso = "hyperintense", "isointense"
    rows = {
        "chi-sepnet-r2prime": row(30.0, 1.02, (hyper, hyper)),
        "chi-sepnet-r2star": row(45.0, 1.2, (hyper, iso)),
        "chi-sep-medi": row(60.0, 0.9, (iso, iso)),
        trained_tables.CONSTANT_MAP: row(36.0, 0.0, (iso, iso)),
    }
    found = trained_tables.Found({"one": rows, "two": rows})
    said = {line.split(" | ")[0].removeprefix("| "): line for line in trained_tables.target_table(found).splitlines()}
    assert said["chi-sepnet-r2prime, χ_dia: NRMSE, %"].endswith("| ≤ 35.7 | 36.0 | 30.0 | reached |")
    assert said["chi-sepnet-r2prime, χ_para: NRMSE, %"].endswith("| ≤ 38.1 | 36.0 (reached) | 30.0 | says nothing |")
    assert said["chi-sepnet-r2prime, χ_para: NRMSE over chi-sep-medi's"].endswith("(reached) | 0.50 | says nothing |")
    assert said["chi-sepnet-r2star, χ_para: NRMSE over chi-sep-medi's"].endswith("| 0.60 (reached) | 0.75 | MISSED |")
    assert said["chi-sepnet-r2star, χ_para: slope over regions"].endswith("| 0.000 | 1.200 | MISSED |")
    assert said["chi-sepnet-r2star, χ_para: lesions with the true class, %"].endswith("| 0.0 | 50.0 | MISSED |")
    assert said["both pipelines, χ_dia: lesions with the same class, %"].endswith("| 100.0 (reached) | 50.0 | MISSED |")
    assert "| 30.0 ± 0.0 | 50.0 ± 0.0 | 50.0 ± 0.0 |" in trained_tables.quality_table(found, "chi_para")
    assert trained_tables.CONSTANT_MAP not in trained_tables.region_table(found)
    assert "| hyperintense | 20 to 100 | 4 | 1.0 ± 0.0 (100 %) |" in trained_tables.contrast_table(
        found, ["chi-sepnet-r2prime"]
    )


def test_strong_spheres_are_told_in_ppm(tmp_path: Path) -> None:
    """With the largest values of the training's heads where its folder is given."""
    grid = Grid((4, 4, 4), np.eye(4))
    for name, value in (("a", 0.4), ("b", 0.9)):
        for kind, share in (("para", 1.0), ("dia", 1.5)):
            data = np.full(grid.shape, value * share, dtype=np.float32)
            write_nifti(tmp_path / name / "truth" / f"chi_{kind}.nii.gz", data, grid)
    maxima_ppm = trained.largest_ppm(tmp_path)
    assert maxima_ppm == pytest.approx((0.9, 1.35))
    with pytest.raises(InputError, match="without maps"):
        trained.largest_ppm(tmp_path / "a")
    sphere = {"kind": "para", "radius_mm": 4.0, "recovered_percent": 80.0, "error_around_ppb": 5.0, "lost_percent": 0.0}
    planted_rows = {0.3: [{"one": {"spheres": [sphere]}}], 3.0: [{"one": {"spheres": [sphere]}}]}
    told, unknown = ("\n".join(trained_tables.planted_reports(planted_rows, one)) for one in (maxima_ppm, None))
    assert "## Strong spheres: recovered, %" in told
    assert "| method | 0.3 ppm | 3 ppm |" in told
    assert "The training's maxima: 0.90 ppm χ_para, 1.35 ppm χ_dia." in told
    assert "The training's maxima: unknown." in unknown
