"""Compressed transfer syntaxes give the values and the geometry of the plain files."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from ChiSepPreprocessLib.loading import load_acquisition
from dicom_writer_for_tests import (
    Array,
    EnhancedFrame,
    Slab,
    Style,
    philips_styles,
    rotation,
    write_enhanced,
    write_volume,
)

SLAB = Slab(shape=(12, 10, 8), axes=rotation(20.0, -12.0, 7.0))
ECHO_TIMES_MS = (2.3, 4.6)


def jpeg_lossless(image: Array) -> bytes:
    """First-order prediction and one Huffman table, by ISO 10918-1 Annex H; categories have codes of 5 bits."""
    rows, columns = image.shape
    predicted = np.empty_like(image)
    predicted[:, 1:], predicted[1:, 0], predicted[0, 0] = image[:, :-1], image[:-1, 0], 1 << 11
    bits = []
    for difference in (image - predicted).ravel().tolist():
        category = abs(difference).bit_length()
        extra = difference if difference > 0 else difference + (1 << category) - 1
        bits.append(f"{category:05b}" + (f"{extra:0{category}b}" if category else ""))
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    frame = struct.pack(">BHHB", 12, rows, columns, 1) + bytes([1, 0x11, 0])
    scan = bytes([1, 1, 0x00, 1, 0, 0])
    segments = ((0xC3, frame), (0xC4, table), (0xDA, scan))
    head = b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + head + data + b"\xff\xd9"


def jpeg_2000(image: Array) -> bytes:
    """Reversible wavelet code stream, by Pillow's encoder."""
    stream = io.BytesIO()
    Image.fromarray(image.astype(np.uint16)).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
    return stream.getvalue()


def _compress(source: Path, target: Path, syntax: str) -> None:
    target.mkdir()
    for number, file in enumerate(sorted(source.iterdir())):
        image = dcmread(file)
        if syntax == RLELossless:
            image.compress(RLELossless, generate_instance_uid=False)
        elif syntax == DeflatedExplicitVRLittleEndian:
            image.file_meta.TransferSyntaxUID = syntax
        else:
            encode = jpeg_lossless if syntax == JPEGLosslessSV1 else jpeg_2000
            frames = image.pixel_array.astype(int).reshape(-1, image.Rows, image.Columns)
            image.PixelData = encapsulate([encode(one) for one in frames])
            image["PixelData"].is_undefined_length = True
            image.file_meta.TransferSyntaxUID = syntax
        image.save_as(target / f"{number * 37 % 997:03d}")


def _stored() -> tuple[Array, Array]:
    random = np.random.default_rng(8)
    phase = random.integers(0, 4096, (*SLAB.shape, 2))
    phase[0, 0, 0], phase[1, 0, 0] = 0, 4095
    return random.integers(1, 4096, (*SLAB.shape, 2)), phase


@pytest.mark.parametrize("slice_step_mm", [2.3, -2.3], ids=["right-handed", "left-handed"])
@pytest.mark.parametrize(
    "syntax",
    [JPEGLosslessSV1, RLELossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.name[:20],
)
def test_classic_series(tmp_path: Path, syntax: str, slice_step_mm: float) -> None:
    if syntax == JPEG2000Lossless and not features.check("jpg_2000"):
        pytest.skip("this Pillow was built without JPEG 2000, with which the test writes its files")
    slab = replace(SLAB, slice_step_mm=slice_step_mm)
    for style, stored in zip(philips_styles(), _stored(), strict=True):
        for e, time in enumerate(ECHO_TIMES_MS):
            write_volume(tmp_path / "plain", style, slab, time, stored[..., e])
    _compress(tmp_path / "plain", tmp_path / "packed", syntax)
    plain, packed = load_acquisition([tmp_path / "plain"]), load_acquisition([tmp_path / "packed"])
    np.testing.assert_array_equal(packed.grid.affine, plain.grid.affine)
    np.testing.assert_allclose(packed.gre_magnitude, plain.gre_magnitude, rtol=1e-6)
    np.testing.assert_allclose(packed.gre_phase, plain.gre_phase, atol=1e-6)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, RLELossless], ids=lambda uid: uid.name[:20])
def test_enhanced_file(tmp_path: Path, syntax: str) -> None:
    magnitude, phase = _stored()
    frames = [
        EnhancedFrame(name, time, k, part[:, :, k, e], rescale)
        for name, part, rescale in (("MAGNITUDE", magnitude, (1.0, 0.0)), ("PHASE", phase, (2.0, -4096.0)))
        for e, time in enumerate(ECHO_TIMES_MS)
        for k in range(SLAB.shape[2])
    ]
    style = Style(scanning=None, image_type=("ORIGINAL", "PRIMARY", "MIXED", "NONE"))
    write_enhanced(tmp_path / "plain" / "one", style, SLAB, frames)
    _compress(tmp_path / "plain", tmp_path / "packed", syntax)
    plain, packed = load_acquisition([tmp_path / "plain"]), load_acquisition([tmp_path / "packed"])
    np.testing.assert_array_equal(packed.gre_magnitude, plain.gre_magnitude)
    np.testing.assert_allclose(packed.gre_phase, plain.gre_phase, atol=1e-6)
