"""Headers that are cut short or altered are told from other files, and faults of the reader are not hidden."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from ChiSepPreprocessLib.dicom import headers
from ChiSepPreprocessLib.dicom.headers import DamagedFileError, read_frames
from dicom_writer_for_tests import Slab, Style, write_volume


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """One slice, explicit little endian."""
    slab = Slab(shape=(6, 5, 1))
    write_volume(tmp_path, Style(), slab, 5.0, np.arange(30).reshape(slab.shape))
    (file,) = tmp_path.iterdir()
    return file


def _in_syntax(file: Path, syntax: str) -> bytes:
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = syntax
    copy = file.with_suffix(".copy")
    dataset.save_as(copy)
    return copy.read_bytes()


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_altered_and_truncated_headers_end_in_frames_or_as_damaged(image: Path, syntax: str | None) -> None:
    """Any other exception fails the test; the warnings of pydicom, which are errors here, too."""
    whole = image.read_bytes() if syntax is None else _in_syntax(image, syntax)
    random = np.random.default_rng(7)
    damaged = 0
    for _ in range(250):
        content = np.frombuffer(whole, np.uint8).copy()
        places = random.integers(132, min(len(content), 1500), random.choice([1, 3, 20]))
        content[places] = random.choice([0, 255, *b"SQDU\\-eE9", *random.integers(0, 256, 5)], len(places))
        kept = random.integers(132, len(content)) if random.random() < 0.3 else len(content)
        image.write_bytes(content[:kept].tobytes())
        try:
            read_frames(image)
        except DamagedFileError:
            damaged += 1
    assert 25 < damaged < 225


def test_items_within_items_without_end_are_damage(image: Path) -> None:
    dataset = dcmread(image)
    inner = Dataset()
    inner.RealWorldValueMappingSequence = Sequence([])
    dataset.RealWorldValueMappingSequence = Sequence([inner])
    dataset.save_as(image)
    assert len(read_frames(image)) == 1
    start = image.read_bytes()
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\x40\x00\x96\x90SQ\0\0\xff\xff\xff\xff"
    where = start.index(b"\x40\x00\x96\x90SQ")
    image.write_bytes(start[:where] + b"\x40\x00\x96\x90SQ\0\0\xff\xff\xff\xff" + item * 3000)
    with pytest.raises(DamagedFileError):
        read_frames(image)


def test_damage_is_logged_by_its_type_alone(image: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = image.read_bytes()
    image.write_bytes(content.replace(b"-31.5", b"SECRT"))
    with caplog.at_level(logging.DEBUG, logger=headers.__name__), pytest.raises(DamagedFileError):
        read_frames(image)
    assert caplog.messages == ["A file cannot be read: ValueError"]


def test_a_fault_of_the_reader_is_not_called_damage(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_: object) -> None:
        raise AssertionError("a fault")

    monkeypatch.setattr(headers, "_frames", faulty)
    with pytest.raises(AssertionError, match="a fault"):
        read_frames(image)
