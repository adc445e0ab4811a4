"""An export comes back as it went, and one from strangers does no harm."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib.lesions.reading import Reading
from ChiSeparationLib.report import lesion_export
from ChiSeparationLib.report.dicom_source import read_source
from ChiSeparationLib.report.lesion_export import ExportOptions, import_export, write_export
from ChiSeparationLib.report.lesion_study import LesionStudy
from ChiSepPreprocessLib.errors import InputError, OutputError
from lesion_report_cases import HOSTILE, graded, make_maps, make_study, named, native_grid, resampled_grid, write_source

QUICK = ExportOptions(pdf=False)


@pytest.fixture(scope="module")
def study() -> LesionStudy:
    """Two readers, hard texts, an identity that was split."""
    one = named(graded(make_study(), "AB", HOSTILE, comment=HOSTILE), HOSTILE)
    first = replace(one.reading.lesions[0], came_from=("Lesion_1", "Lesion_9"))
    return replace(one, reading=replace(one.reading, patient="MS-014", lesions=(first, *one.reading.lesions[1:])))


@pytest.fixture(scope="module")
def exported(study: LesionStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "out"
    write_export(folder, study, QUICK)
    return folder


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_everything_comes_back(study: LesionStudy, tmp_path: Path, name: str) -> None:
    names = write_export(tmp_path / "deeper" / name, study, ExportOptions())
    assert set(names) == {"export.json", "reading.json", "lesions.nii.gz", "lesions.seg.nrrd", "grades.csv",
                          "grades.json", "report.html", "report.pdf"}  # fmt: skip
    found = import_export(tmp_path / "deeper" / name, study.maps["closed-form"], "MS-014")
    assert found.reading == study.reading
    assert list(found.reading.judgements) == list(study.reading.judgements)
    np.testing.assert_array_equal(found.lesions.data, study.lesions.data)
    assert (found.lesions.method, found.lesions.warnings) == (study.lesions.method, study.lesions.warnings)
    assert found.lesions.grid.matches(study.grid, tolerance_mm=1e-4)
    assert [path.name for path in (tmp_path / "deeper").iterdir()] == [name]


def test_a_study_made_of_the_import_is_the_same(study: LesionStudy, exported: Path) -> None:
    found = import_export(exported, study.maps["closed-form"])
    again = replace(study, lesions=replace(found.lesions, grid=study.grid), reading=found.reading)
    assert again.reading == study.reading
    assert again.ids == study.ids


def test_no_lesions_come_back(tmp_path: Path) -> None:
    write_export(tmp_path / "out", make_study(lesions=False), QUICK)
    found = import_export(tmp_path / "out")
    assert found.reading == Reading()
    assert not found.lesions.data.any()


def test_manifest_says_why_there_is_no_dicom(exported: Path) -> None:
    about = json.loads((exported / "export.json").read_text(encoding="utf-8"))
    assert about["notes"] == ["No DICOM source was given. Lesions are in lesions.seg.nrrd and lesions.nii.gz."]


def test_dicom_is_written_with_its_source_alone(study: LesionStudy, exported: Path, tmp_path: Path) -> None:
    assert not list(exported.rglob("*.dcm"))
    source = read_source([write_source(tmp_path / "source")], make_maps(native_grid()))
    names = write_export(tmp_path / "out", study, replace(QUICK, dicom=source))
    assert "dicom/segmentation.dcm" in names
    assert "SECRET" not in "".join(
        path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("*.[jh]*") if path.is_file()
    )


def test_nothing_else_is_replaced(study: LesionStudy, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    (tmp_path / "file.zip").write_text("mine")
    for name in ("out", "file.zip"):
        with pytest.raises(InputError, match="holds something else"):
            write_export(tmp_path / name, study, replace(QUICK, overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.zip", "out"]
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_an_earlier_export_is_replaced_if_allowed(study: LesionStudy, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_export(path, study, QUICK)
    ungraded = make_study()
    with pytest.raises(InputError, match="earlier export"):
        write_export(path, ungraded, QUICK)
    assert import_export(path).reading == study.reading
    write_export(path, ungraded, replace(QUICK, overwrite=True))
    assert import_export(path).reading == ungraded.reading
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_fault_in_the_middle_leaves_the_earlier_export(
    study: LesionStudy, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export(tmp_path / name, study, QUICK)

    def fail(*_: object, **__: object) -> None:
        raise OutputError("The disk is full.")

    monkeypatch.setattr(lesion_export, "write_lesion_page", fail)
    with pytest.raises(OutputError, match="full"):
        write_export(tmp_path / name, make_study(), replace(QUICK, overwrite=True))
    with pytest.raises(OutputError, match="full"):
        write_export(tmp_path / f"new-{name}", make_study(), QUICK)
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert import_export(tmp_path / name).reading == study.reading


# --- What is refused --------------------------------------------------------------------------------------------------


def test_another_patient_is_refused(exported: Path, study: LesionStudy) -> None:
    with pytest.raises(InputError, match="another patient"):
        import_export(exported, study.maps["closed-form"], "MS-015")


def test_another_scan_on_the_same_grid_is_refused_unless_the_user_knows_better(
    exported: Path, study: LesionStudy
) -> None:
    other = make_maps(native_grid(), seed=1)
    with pytest.raises(InputError, match="another patient or scan"):
        import_export(exported, other)
    assert import_export(exported, other, same_patient=True).reading == study.reading


def test_another_grid_is_refused(exported: Path) -> None:
    with pytest.raises(InputError, match=r"the grid of the maps at hand, \(9, 11, 13\)"):
        import_export(exported, make_maps(resampled_grid()), same_patient=True)


def packed(exported: Path, path: Path, change: Callable[[zipfile.ZipFile], None]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for one in exported.iterdir():
            archive.write(one, one.name)
        change(archive)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_lead_out_are_never_written(exported: Path, study: LesionStudy, tmp_path: Path) -> None:
    def add(archive: zipfile.ZipFile) -> None:
        for name in ("../evil.txt", str(tmp_path / "evil.txt"), "a/../../evil.txt", "..\\evil.txt"):
            archive.writestr(name, "evil")

    (tmp_path / "in").mkdir()
    path = packed(exported, tmp_path / "in" / "bad.zip", add)
    assert import_export(path).reading == study.reading
    assert sorted(one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*")) == ["in", "in/bad.zip"]


def test_links_are_not_followed(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for one in exported.iterdir():
        (folder / one.name).write_bytes(one.read_bytes())
    (folder / "reading.json").unlink()
    (folder / "reading.json").symlink_to(exported / "reading.json")
    with pytest.raises(InputError, match="link to elsewhere"):
        import_export(folder)


def test_damage_is_told(exported: Path, tmp_path: Path) -> None:
    for name, content in (("reading.json", b"{}"), ("lesions.nii.gz", b"\x1f\x8b"), ("export.json", b"[1]"),
                          ("export.json", b'{"format": "chisep-lesions", "schema": 1, "sha256": 5}')):  # fmt: skip
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for one in exported.iterdir():
            (folder / one.name).write_bytes(content if one.name == name else one.read_bytes())
        with pytest.raises(InputError):
            import_export(folder)


def test_a_newer_export_says_so(exported: Path, tmp_path: Path) -> None:
    for one in exported.iterdir():
        (tmp_path / one.name).write_bytes(one.read_bytes())
    about = json.loads((tmp_path / "export.json").read_text(encoding="utf-8"))
    (tmp_path / "export.json").write_text(json.dumps({**about, "schema": 99}))
    with pytest.raises(InputError, match="newer version"):
        import_export(tmp_path)


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    for name in ("empty", "text.zip", "other.zip", "missing"):
        with pytest.raises(InputError, match="exported lesions"):
            import_export(tmp_path / name)
