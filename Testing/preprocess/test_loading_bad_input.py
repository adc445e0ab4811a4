"""Every kind of bad input gives one clear message, which names nobody."""

from __future__ import annotations

import errno
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ChiSepPreprocessLib.dicom import collect
from ChiSepPreprocessLib.errors import CancelledError, InputError, OutputError
from ChiSepPreprocessLib.loading import (
    LoadOptions,
    check_reconstructable,
    inspect,
    load_acquisition,
    load_image,
    load_spin_echo,
)
from ChiSepPreprocessLib.progress import Reporter
from dicom_writer_for_tests import Array, Slab, Style, siemens_styles, write_siemens_gre, write_volume

SLAB = Slab(shape=(9, 10, 8))
ECHO_TIMES_MS = (5.0, 10.0)


def _arrays(slab: Slab = SLAB, echoes: int = 2) -> tuple[Array, Array]:
    random = np.random.default_rng(4)
    shape = (*slab.shape, echoes)
    return random.integers(0, 4096, shape), random.integers(0, 4096, shape)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    write_siemens_gre(folder, SLAB, ECHO_TIMES_MS, *_arrays())
    return folder


def _edit(folder: Path, change: Callable[..., object], where: Callable[..., object] = lambda image: True) -> None:
    for file in folder.iterdir():
        image = dcmread(file)
        if where(image):
            change(image)
            image.save_as(file)


def _is_phase(image: object) -> bool:
    return "P" in image.ImageType  # type: ignore[attr-defined]


def _delete(folder: Path, where: Callable[..., object]) -> None:
    for file in folder.iterdir():
        if where(dcmread(file, stop_before_pixels=True)):
            file.unlink()


def _refused(folder: Path, match: str, options: LoadOptions | None = None) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_acquisition([folder], options=options or LoadOptions())
    for secret in ("SECRET", "4711", "4712", "1970", "1.2.3", folder.parent.name):
        assert secret not in str(caught.value)


def test_good_input_is_reconstructable(study: Path) -> None:
    check_reconstructable(load_acquisition([study]))
    inventory = inspect([study])
    assert inventory.can_reconstruct
    assert [(row.role, row.component, row.echoes) for row in inventory.series] == [
        ("gre", "magnitude", 2),
        ("gre", "phase", 2),
    ]
    assert inventory.series[0].voxel_size_mm == (0.8, 1.1, 2.3)


def test_empty_folder(tmp_path: Path) -> None:
    _refused(tmp_path, "no files")
    assert inspect([tmp_path]).obstacles[0].startswith("input: got no files")


def test_missing_path(tmp_path: Path) -> None:
    _refused(tmp_path / "absent", "'absent', which does not exist")


def test_folder_of_text_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "more.csv").write_text("1,2")
    _refused(tmp_path, "2 files, none of them an MR image")


def test_text_among_images_is_skipped_and_counted(study: Path) -> None:
    (study / "notes.txt").write_text("hello")
    assert load_acquisition([study]).source["files_skipped"] == 1
    inventory = inspect([study])
    assert (inventory.skipped_files, inventory.can_reconstruct) == (1, True)
    assert any("1 of 33 files are no MR images" in problem for problem in inventory.problems)


def test_magnitude_without_phase(study: Path) -> None:
    _delete(study, _is_phase)
    _refused(study, r"magnitude without phase \(gre magnitude, 9×10×8, echo times 5, 10 ms\).*--gre-phase")
    (obstacle,) = inspect([study]).obstacles
    assert "magnitude without phase" in obstacle


def test_phase_without_magnitude(study: Path) -> None:
    _delete(study, lambda image: not _is_phase(image))
    _refused(study, "phase without magnitude")


def test_echoes_of_different_size(tmp_path: Path) -> None:
    small = Slab(shape=(9, 6, 8))
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS[:1], *_arrays(echoes=1))
    write_siemens_gre(tmp_path, small, ECHO_TIMES_MS[1:], *_arrays(small, echoes=1))
    _refused(tmp_path, "echoes of different size: 9×10×8, 9×6×8|echoes of different size: 9×6×8, 9×10×8")


def test_phase_of_another_grid(study: Path) -> None:
    def moved(image: object) -> None:
        image.ImagePositionPatient = [x + 1.0 for x in image.ImagePositionPatient]  # type: ignore[attr-defined]

    _edit(study, moved, _is_phase)
    _refused(study, "phase: got the same size in another place")


@pytest.mark.parametrize("component", ["magnitude", "phase"])
def test_missing_slice_is_named_by_its_position(study: Path, component: str) -> None:
    gone = study, lambda image: _is_phase(image) == (component == "phase") and image.InstanceNumber == 4
    _delete(*gone)
    low = np.dot(SLAB.position(2), SLAB.axes[:, 2])
    match = f"a gap of 4.60 mm between the slices at {low:.2f} and {low + 4.6:.2f} mm.*even steps of 2.30 mm"
    _refused(study, match)
    assert any("a gap of 4.60 mm" in obstacle for obstacle in inspect([study]).obstacles)


def test_missing_last_slice_of_one_echo(study: Path) -> None:
    _delete(study, lambda image: _is_phase(image) and image.InstanceNumber == 8 and image.EchoTime == 10)
    _refused(study, "phase: got echoes of different size: 9×10×7, 9×10×8")


def test_doubled_slice(study: Path) -> None:
    for file in list(study.iterdir())[:1]:
        (study / "copy").write_bytes(file.read_bytes())
    _refused(study, "1 slice positions with more than one image.*copies of files")


def test_two_patients(study: Path) -> None:
    _edit(study, lambda image: setattr(image, "PatientID", "P-4712"), _is_phase)
    _refused(study, "images of 2 patients")
    assert "2 patients" in inspect([study]).obstacles[0]


def test_two_sessions(study: Path) -> None:
    _edit(study, lambda image: setattr(image, "StudyInstanceUID", "1.2.3.77"), _is_phase)
    _refused(study, r"images of 2 sessions \(studies\)")


def test_two_frames_of_reference(study: Path) -> None:
    _edit(study, lambda image: setattr(image, "FrameOfReferenceUID", "1.2.3.77"), _is_phase)
    _refused(study, "images of 2 frames of reference")
    assert "2 frames of reference" in inspect([study]).obstacles[0]


def test_field_strengths_that_disagree(study: Path) -> None:
    _edit(study, lambda image: setattr(image, "MagneticFieldStrength", 1.5), _is_phase)
    _refused(study, r"field strength: got 1\.5, 3 T in the headers of one scan")
    assert "1.5, 3 T" in inspect([study]).obstacles[0]


def test_stated_field_strength_that_differs_is_said(tmp_path: Path) -> None:
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, *_arrays(), style=Style(imaging_frequency_mhz=None))
    acquisition = load_acquisition([tmp_path], options=LoadOptions(field_strength_t=1.5))
    assert acquisition.scan.field_strength_t == 1.5
    assert any("1.5 T, differs" in warning for warning in acquisition.warnings)


def test_empty_magnitude(tmp_path: Path) -> None:
    magnitude, phase = _arrays()
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, magnitude * 0, phase)
    _refused(tmp_path, r"gre_magnitude of echo 1 \(5 ms\): got values from 0 to 0")


def test_two_scans(tmp_path: Path) -> None:
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, *_arrays())
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, *_arrays(), style=Style(series="1.2.3.5", repetition_ms=50.0))
    _refused(tmp_path, "2 gradient echo scans .*Give the folder of one")
    assert "2 gradient echo scans" in inspect([tmp_path]).obstacles[0]


def test_repeated_scan(tmp_path: Path) -> None:
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, *_arrays())
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, *_arrays(), style=Style(series="1.2.3.5"))
    _refused(tmp_path, "magnitude: got 2 volumes for the echo time 5 ms")


def test_no_gradient_echo(tmp_path: Path) -> None:
    write_volume(tmp_path, Style(scanning="SE"), SLAB, 90.0, _arrays()[0][..., 0])
    _refused(tmp_path, "no gradient echo series")


def test_single_echo_loads_but_is_not_reconstructed(tmp_path: Path) -> None:
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS[:1], *_arrays(echoes=1))
    acquisition = load_acquisition([tmp_path])
    with pytest.raises(InputError, match="1 echo; expected at least 2 echoes"):
        check_reconstructable(acquisition)
    assert inspect([tmp_path]).obstacles == ("1 echo; at least 2 are needed",)


@pytest.mark.parametrize(("shape", "match"), [((9, 10, 7), "7 slices"), ((6, 10, 9), "6 voxels along an axis")])
def test_thin_slab_loads_but_is_not_reconstructed(tmp_path: Path, shape: tuple[int, int, int], match: str) -> None:
    slab = Slab(shape=shape)
    write_siemens_gre(tmp_path, slab, ECHO_TIMES_MS, *_arrays(slab))
    with pytest.raises(InputError, match=match):
        check_reconstructable(load_acquisition([tmp_path]))
    assert match in inspect([tmp_path]).obstacles[0]


def test_unknown_field_strength(tmp_path: Path) -> None:
    silent = Style(field_strength_t=None, imaging_frequency_mhz=None)
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, *_arrays(), style=silent)
    _refused(tmp_path, "field strength: got none.*--field-strength")
    assert "--field-strength" in inspect([tmp_path]).obstacles[0]
    assert load_acquisition([tmp_path], options=LoadOptions(field_strength_t=7.0)).scan.field_strength_t == 7.0


def test_unknown_echo_times(study: Path) -> None:
    def silent(image: object) -> None:
        image.EchoNumbers = int(image.EchoTime > 5) + 1  # type: ignore[attr-defined]
        del image.EchoTime  # type: ignore[attr-defined]

    _edit(study, silent)
    _refused(study, "echo times: got none in the headers of 2 echoes.*--echo-times")
    assert "--echo-times" in inspect([study]).obstacles[0]
    _refused(study, "3 stated; expected 2", LoadOptions(echo_times_s=(0.01, 0.02, 0.03)))
    _refused(study, "divided by 1000", LoadOptions(echo_times_s=(5.0, 10.0)))


def test_phase_in_unknown_units(study: Path) -> None:
    def foreign(image: object) -> None:
        image.Manufacturer = "ACME"  # type: ignore[attr-defined]

    _edit(study, foreign)
    _refused(study, r"values from -\d+ to \d+ in an unknown unit.*fits siemens.*--phase-unit")
    assert load_acquisition([study], options=LoadOptions(phase_unit="siemens")).source["phase_scaling"] == (
        "siemens (stated)"
    )


def test_echoes_of_phase_missing(study: Path) -> None:
    _delete(study, lambda image: _is_phase(image) and image.EchoTime == 10)
    _refused(study, "2 echoes of magnitude and 1 of phase")


def test_unsigned_real_part(tmp_path: Path) -> None:
    for number in (2, 3):
        for echo, time in enumerate(ECHO_TIMES_MS):
            style = Style(manufacturer="GE MEDICAL SYSTEMS", image_type=("ORIGINAL", "PRIMARY", "OTHER"), ge=number)
            write_volume(tmp_path, style, SLAB, time, _arrays()[0][..., echo])
    _refused(tmp_path, "real part: got no negative value")


@pytest.mark.parametrize("kept", [0.2, 0.7, 0.98])
def test_truncated_file(study: Path, kept: float) -> None:
    """Cut in the header or in the pixels."""
    file = next(iter(study.iterdir()))
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    _refused(study, "damaged or truncated|a truncated image")


def test_geometry_missing(study: Path) -> None:
    _edit(study, lambda image: image.__delattr__("ImageOrientationPatient"))
    _refused(study, "images without position, orientation or pixel spacing")


def test_localizer_of_several_orientations(tmp_path: Path) -> None:
    write_volume(tmp_path, Style(), SLAB, 5.0, _arrays()[0][..., 0])
    write_volume(tmp_path, Style(), replace(SLAB, axes=np.eye(3)), 5.0, _arrays()[0][..., 0])
    with pytest.raises(InputError, match="different orientations"):
        load_image([tmp_path])


def test_spin_echo_of_one_echo(tmp_path: Path) -> None:
    write_volume(tmp_path, Style(scanning="SE"), SLAB, 90.0, _arrays()[0][..., 0])
    with pytest.raises(InputError, match="0 with two or more echoes"):
        load_spin_echo([tmp_path])


def test_several_volumes_are_no_image(study: Path) -> None:
    with pytest.raises(InputError, match="4 volumes; expected one 3D volume"):
        load_image([study])


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.99])
def test_cancelling(study: Path, fraction: float) -> None:
    """While headers are read, while pixels are, and at the end."""
    with pytest.raises(CancelledError):
        load_acquisition([study], report=Reporter(lambda status: status.fraction < fraction))


# Archives


def _archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_zip_archive_equals_its_folder(study: Path, tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.zip", {f"deep/er/{file.name}": file.read_bytes() for file in study.iterdir()})
    expected, found = load_acquisition([study]), load_acquisition([archive])
    np.testing.assert_array_equal(found.gre_phase, expected.gre_phase)


@pytest.mark.parametrize("name", ["../escape", "/escape", "a/../../escape", "..\\escape", "C:\\escape"])
def test_zip_member_that_leads_out(tmp_path: Path, name: str) -> None:
    archive = _archive(tmp_path / "a.zip", {name: b"x"})
    _refused(archive, "leads out of the archive")
    assert not list(tmp_path.parent.rglob("escape"))


def test_zip_link(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    _refused(tmp_path / "a.zip", "a link")


def test_zip_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "MAX_UNPACKED_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(2 * 10**6))
    _refused(tmp_path / "a.zip", "1 files, 0.0 GiB unpacked; expected at most")


def test_zip_broken(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK no archive")
    _refused(tmp_path / "a.zip", "cannot be unpacked")


def test_zip_with_damaged_content(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image", np.random.default_rng(1).integers(0, 9, 5000).astype("u1").tobytes())
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[200:260] = bytes(60)
    (tmp_path / "a.zip").write_bytes(content)
    _refused(tmp_path / "a.zip", "cannot be unpacked")


def test_no_space_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extract", full)
    with pytest.raises(OutputError, match=r"Cannot unpack a\.zip: no space"):
        inspect([_archive(tmp_path / "a.zip", {"image": b"x"})])


def test_links_that_lead_nowhere_are_skipped(study: Path) -> None:
    (study / "self").symlink_to(study)
    (study / "a").symlink_to(study / "b")
    (study / "b").symlink_to(study / "a")
    assert load_acquisition([study]).source["files"] == 32


def test_links_out_of_a_folder_are_not_followed(study: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write_volume(outside, siemens_styles()[0], SLAB, 15.0, _arrays()[0][..., 0])
    (study / "folder").symlink_to(outside)
    (study / "file").symlink_to(next(iter(outside.iterdir())))
    assert load_acquisition([study]).scan.echo_times_s == (0.005, 0.01)


def test_folder_named_through_a_link_is_read(study: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(study)
    assert inspect([tmp_path / "link"]).can_reconstruct
