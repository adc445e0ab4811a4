"""Where R2′ comes from, through the folder of a run: made once for all methods, recorded, never mixed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import installed_weights
from ChiSeparationLib import presentation, workflow
from ChiSeparationLib.console import Console
from ChiSeparationLib.presentation import present
from ChiSeparationLib.run_folder import RunFolder, read_record, read_run
from ChiSeparationLib.study import Study
from ChiSeparationLib.workflow import Inputs, run, run_preprocess, run_reconstruct, study_from_maps
from ChiSepPreprocessLib.artifacts import Acquisition, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError, MissingDependencyError
from ChiSepPreprocessLib.files import write_map
from ChiSepPreprocessLib.given import check_given_maps
from ChiSepPreprocessLib.progress import Status
from ChiSepReconstructLib.methods import get
from ChiSepReconstructLib.networks import inference
from ChiSepReconstructLib.networks.weights.weight_set import WeightSet
from ChiSepReconstructLib.pipeline import reconstruct

_SHAPE = (20, 18, 16)

pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def weights(data_folder: Path) -> WeightSet:
    return installed_weights.install()


def head(field_strength_t: float = 3.0) -> MapSet:
    """Noise in an ellipsoid."""
    rng = np.random.default_rng(5)
    axes = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in _SHAPE), indexing="ij", sparse=True)
    rate = rng.uniform(2.0, 9.0, _SHAPE).astype(np.float32)
    return installed_weights.map_set(
        installed_weights.axial_grid(_SHAPE), field_strength_t, local_field=rng.normal(0.0, 0.01, _SHAPE),
        r2prime=rate, r2star=rate + 14, magnitude=np.ones(_SHAPE, np.float32),
        brain_mask=np.asarray(sum(axis**2 for axis in axes) < 1),
    )  # fmt: skip


def on_disk(maps: MapSet, folder: Path) -> Path:
    for one in maps.values():
        write_map(one, maps.scan, folder)
    return folder


def separated(maps: Path, output: Path, *methods: str, source: str = "r2primenet") -> Study:
    quick = {"closed-form": {"qsm": {"method": "tkd"}}}
    return run_reconstruct(study_from_maps(maps, output), methods, options=quick, r2prime_source=source)  # type: ignore[arg-type]


def test_r2prime_is_made_once_for_all_methods_and_kept_beside_the_measured_one(
    weights: WeightSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    through = inference.NetworkChain.through

    def counted(self: inference.NetworkChain, role: str, *given: object) -> object:
        runs.append(role)
        return through(self, role, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(inference.NetworkChain, "through", counted)
    maps, out = on_disk(head(), tmp_path / "maps"), tmp_path / "out"
    study = separated(maps, out, "closed-form", "emmerich")
    assert runs == ["r2primenet"]
    assert list(study.results) == ["r2primenet", "closed-form", "emmerich"]
    np.testing.assert_array_equal(study.maps.array("r2prime"), head().array("r2prime"))
    note = json.loads((out / "r2primenet" / "r2prime.json").read_text())
    assert note["method"] == "r2primenet"
    assert note["unit"] == "1/s"
    assert note["options"]["network_weights"]["sha256"] == {"r2primenet": weights.networks["r2primenet"].sha256}
    record = read_record(out)
    assert record["fingerprint"].endswith("+r2primenet")
    assert record["methods"]["r2primenet"]["maps"] == ["r2prime"]
    for method in ("closed-form", "emmerich"):
        used = record["methods"][method]["options"]["r2prime_source"]
        assert used["network_weights"]["sha256"] == {"r2primenet": weights.networks["r2primenet"].sha256}
        chi = json.loads((out / method / "chi_para.json").read_text())
        assert chi["options"]["r2prime_source"]["method"] == "r2primenet"
    alone = separated(maps, tmp_path / "alone", "closed-form", source="maps").results["closed-form"]
    assert np.abs(alone.array("chi_para") - study.results["closed-form"].array("chi_para")).max() > 1e-3
    assert set(read_run(out)) == {"chi_total", "chi_para", "chi_dia"}
    assert set(read_run(out, "r2primenet")) == {"r2prime"}


def test_chi_maps_of_two_sources_do_not_share_a_folder(weights: WeightSet, tmp_path: Path) -> None:
    first = tmp_path / "run"
    on_disk(head(), first / "maps")
    separated(first, first, "closed-form", source="maps")
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*.nii.gz")}
    for overwrite in (False, True):
        with pytest.raises(InputError, match="R2′ from one source in a folder"):
            run_reconstruct(study_from_maps(first, first), ("emmerich",), r2prime_source="r2primenet",
                            overwrite=overwrite)  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*.nii.gz")} == before
    other = tmp_path / "other"
    separated(first, other, "closed-form")
    separated(first, other, "emmerich")
    assert set(read_record(other)["methods"]) == {"r2primenet", "closed-form", "emmerich"}
    with pytest.raises(InputError, match="holds a run with other inputs"):
        separated(first, other, "apart", source="maps")


class KilledError(BaseException):
    """The process ends: nothing after it is executed."""


@pytest.mark.parametrize(
    "killed_at", ["emmerich computed", "closed-form/chi_dia written", "closed-form/chi_total written"]
)
def test_chi_maps_of_a_killed_run_do_not_share_a_folder_with_another_source(
    weights: WeightSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    compute, keep = reconstruct, RunFolder.keep

    def computed(maps: MapSet, *, method: str, **given: Any) -> MapSet:
        if killed_at == f"{method} computed":
            raise KilledError
        return compute(maps, method=method, **given)

    def written(self: RunFolder, one: Map, scan: ScanParameters, folder: str = "maps") -> None:
        if killed_at == f"{folder}/{one.name} written":
            raise KilledError
        keep(self, one, scan, folder)

    out = tmp_path / "run"
    on_disk(head(), out / "maps")
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(workflow, "reconstruct", computed)
        patched.setattr(RunFolder, "keep", written)
        separated(out, out, "closed-form", "emmerich")
    record = read_record(out)
    assert (record["state"], record["fingerprint"][-11:]) == ("started", "+r2primenet")
    complete = killed_at == "emmerich computed"
    listed = {"r2primenet": ["r2prime"], "closed-form": list(get("closed-form").gives) if complete else []}
    assert {name: one["maps"] for name, one in record["methods"].items()} == listed
    assert ("chi_para" in read_run(out)) == complete
    left = {path.parent.name for path in out.rglob("chi_*")}
    if left:
        assert left == {"closed-form"}
        with pytest.raises(InputError, match="R2′ from one source in a folder"):
            separated(out, out, "apart", source="maps")
        separated(out, out, "closed-form", "emmerich")
        assert list(read_record(out)["methods"]) == ["r2primenet", "closed-form", "emmerich"]
    else:
        separated(out, out, "apart", source="maps")
        assert read_record(out)["methods"]["apart"]["maps"]
        assert {path.parent.name for path in out.rglob("chi_*")} == {"apart"}
    assert read_record(out)["state"] == "done"


def test_r2primenet_run_by_itself_binds_a_folder_to_no_source(weights: WeightSet, tmp_path: Path) -> None:
    for source in ("r2primenet", "maps"):
        out = tmp_path / source
        on_disk(head(), out / "maps")
        alone = run_reconstruct(study_from_maps(out, out), ("r2primenet",))
        both = separated(out, out, "closed-form", source=source)
        assert list(read_record(out)["methods"]) == ["r2primenet", "closed-form"]
        used = {"r2primenet": "r2primenet", "maps": "given"}[source]
        assert both.results["closed-form"]["chi_para"].options["inputs"]["r2prime"] == used
        assert alone.mark == both.mark.partition("+")[0]


def test_every_orientation_gets_its_own_r2prime(weights: WeightSet, tmp_path: Path) -> None:
    def turned(direction: tuple[float, float, float], scale: float) -> MapSet:
        maps = head()
        r2star = replace(maps["r2star"], data=scale * maps.array("r2star"))
        return replace(maps, scan=replace(maps.scan, b0_direction_ijk=direction)).including(r2star)

    first, others = head(), (turned((0.0, 0.6, 0.8), 1.1), turned((0.6, 0.0, 0.8), 0.9))
    study, heard = Study(None, first, {}, tmp_path / "out", "0123", orientations=others), list[Status]()
    done = run_reconstruct(study, ("chi-sep-cosmos",), r2prime_source="r2primenet", progress=heard.append)
    expected = reconstruct(first, method="chi-sep-cosmos", r2prime_source="r2primenet", orientations=others)
    for name in ("r2prime", "chi_para", "chi_dia"):
        np.testing.assert_array_equal(done.results["chi-sep-cosmos"].array(name), expected.array(name))
    assert [one.step for one in heard].count("networks") == 3
    fractions = [one.fraction for one in heard]
    assert fractions == sorted(fractions)


def test_refusals_write_no_map(tmp_path: Path) -> None:
    maps, out = on_disk(head(), tmp_path / "maps"), tmp_path / "out"
    with pytest.raises(InputError, match="chisep weights import"):
        separated(maps, out, "closed-form")
    installed_weights.install()
    with pytest.raises(InputError, match="r2primenet with tkd"):
        separated(maps, out, "closed-form", "tkd")
    high = on_disk(head(7.0), tmp_path / "high")
    with pytest.raises(InputError, match="field strength: got 7"):
        separated(high, out, "closed-form")
    with pytest.raises(InputError, match="field strength: got 7"):
        run_reconstruct(study_from_maps(high, out), ("chi-sepnet-r2star",))
    assert not out.exists()
    asked = {"r2primenet": {"other_field_strength": True}}
    done = run_reconstruct(study_from_maps(high, out), ("closed-form",), options=asked, r2prime_source="r2primenet")
    assert any("run at 7.00 T" in one for one in done.warnings)


def test_report_names_the_r2prime_of_each_method(
    weights: WeightSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undrawn(*given: object) -> object:
        raise MissingDependencyError("no pictures here")

    monkeypatch.setattr(presentation, "_draw", undrawn)
    present(separated(on_disk(head(), tmp_path / "maps"), tmp_path / "out", "closed-form"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "R2′ of closed-form" in page
    assert f"r2primenet: from R2*, weights &#39;random&#39;, SHA-256 {weights.networks['r2primenet'].sha256}" in page
    fallback = head()["r2prime"]
    for method, options, words in (
        ("pseudo-r2", {"pseudo_r2_per_s": 13.0}, "pseudo-r2: R2* minus a constant 13 1/s, a fallback"),
        ("scaled-r2star", {"r2prime_share": 0.19}, "scaled-r2star: 0.19 times R2*, a fallback"),
        ("measured", {}, "<td>measured</td>"),
    ):
        named = type(fallback)(name="r2prime", data=fallback.data, grid=fallback.grid, method=method, options=options)
        folder = on_disk(head().including(named), tmp_path / method)
        present(separated(folder, tmp_path / f"out-{method}", "closed-form", source="maps"))
        assert words in (tmp_path / f"out-{method}" / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def everything(patient_folder: Path) -> Inputs:
    """The small patient with all maps handed in, so that nothing is computed."""
    truth = patient_folder / "truth"
    names = ("total_field", "local_field", "r2star", "r2prime")
    given = {name: truth / f"{name}.nii.gz" for name in names}
    return Inputs(gre=(patient_folder / "dicom",), maps=given, mask=truth / "brain_mask.nii.gz")


def test_run_refuses_before_anything_is_computed_or_written(everything: Inputs, tmp_path: Path) -> None:
    out, heard = tmp_path / "out", list[Status]()
    with pytest.raises(InputError, match="chisep weights import"):
        run(everything, out, r2prime_source="r2primenet", progress=heard.append)
    assert heard == []
    installed_weights.install(field_strength_t=7.0)
    with pytest.raises(InputError, match=r"field strength: got 3\.00 T; expected 7\.00 T"):
        run(everything, out, r2prime_source="r2primenet")
    assert not out.exists()


def test_run_goes_on_from_maps_alone_and_checks_given_maps_once(
    weights: WeightSet, everything: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[int] = []

    def counted(brought: Mapping[str, Map], acquisition: Acquisition) -> dict[str, Map]:
        checks.append(len(brought))
        return check_given_maps(brought, acquisition)

    monkeypatch.setattr("ChiSepPreprocessLib.pipeline.check_given_maps", counted)
    out = tmp_path / "out"
    prepared = run_preprocess(everything, out)
    assert checks == [5]
    kept = (out / "maps" / "magnitude.nii.gz").stat().st_mtime_ns
    study = run(everything, out, methods=("closed-form",), r2prime_source="r2primenet")
    assert checks == [5, 5]
    assert (out / "maps" / "magnitude.nii.gz").stat().st_mtime_ns == kept
    assert read_record(out)["fingerprint"] == f"{prepared.mark}+r2primenet"
    assert read_run(out).array("r2prime").max() > 0
    assert study.results["closed-form"]["chi_para"].options["inputs"]["r2prime"] == "r2primenet"
    with pytest.raises(InputError, match="holds a run with other inputs or options"):
        run(everything, out)


def test_console_tells_the_time_in_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    told = Status("networks", 0.2, "CPU, 8 threads, about 40 s")
    assert Console().progress(told)
    assert capsys.readouterr() == ("", "networks: CPU, 8 threads, about 40 s\n")
    Console().progress(Status("chisepnet", 0.3, "CPU, 8 threads"))
    assert capsys.readouterr() == ("", "")
    Console(json_lines=True).progress(told)
    out, err = capsys.readouterr()
    assert (json.loads(out)["detail"], err) == ("CPU, 8 threads, about 40 s", "")
