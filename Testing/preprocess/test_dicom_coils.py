"""Images of single receive coils are recognised, read whole and handed over for combination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.coils import combine as coils_combine
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.loading import LoadOptions, inspect, load_acquisition
from dicom_writer_for_tests import EnhancedFrame, Slab, Style, rotation, siemens_styles, write_enhanced, write_volume

Array = NDArray[Any]

SLAB = Slab(shape=(11, 9, 8))
ECHO_TIMES_MS = (4.0, 9.0)
COILS = 3


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Stand-in for the combination, which keeps what it is given and returns the first coil's phase."""
    calls: list[tuple[Any, ...]] = []

    def combine(magnitude: Array, phase: Array, *rest: Any) -> tuple[Array, Array]:
        calls.append((magnitude, phase, *rest))
        return np.sqrt((magnitude**2).sum(axis=-1)), np.ascontiguousarray(phase[..., 0])

    monkeypatch.setattr(coils_combine, "combine_coils", combine)
    return calls


def _stored(shape: tuple[int, ...] = (*SLAB.shape, 2, COILS)) -> tuple[Array, Array]:
    random = np.random.default_rng(3)
    phase = random.integers(0, 4096, shape)
    phase[0, 0, 0], phase[1, 0, 0] = 0, 4095
    return random.integers(1, 4096, shape), phase


def _radians(stored: Array) -> Array:
    return np.asarray(np.pi * (2.0 * stored - 4096.0) / 4096.0)


def _csa_header(coil: int) -> bytes:
    """Siemens' binary header, cut down to the counters: name, five numbers, item length, text."""
    name = b"ICE_Dims".ljust(64, b"\0")
    item = f"{coil}_1_1_1_1_1_7_1_1_1_1_1_259".encode()
    return b"SV10\4\3\2\1" + b"\0" * 80 + name + b"\1" * 20 + b"\2" * 16 + item + b"\0\0"


_MARKS: dict[str, Callable[[int], tuple[int, str, Any]]] = {
    "Siemens coil name": lambda c: (0x0051100F, "LO", f"H{9 + c}"),  # H9, H10, H11: not in the order of letters
    "Siemens counters": lambda c: (0x00211106, "LO", f"{9 + c}_1_1_1_1_1_7_1_1_1_1_1_9"),
    "Siemens binary header": lambda c: (0x00291010, "OB", _csa_header(9 + c)),
    "United Imaging": lambda c: (0x00651003, "LO", f"H {9 + c}"),
}


@pytest.mark.parametrize("mark", list(_MARKS))
def test_classic_images_of_single_coils(tmp_path: Path, mark: str, handed_over: list[tuple[Any, ...]]) -> None:
    magnitude, phase = _stored()
    for style, stored in zip(siemens_styles(), (magnitude, phase), strict=True):
        for c in reversed(range(COILS)):
            of_coil = replace(style, extra=(_MARKS[mark](c),))
            for e, time in enumerate(ECHO_TIMES_MS):
                write_volume(tmp_path, of_coil, SLAB, time, stored[..., e, c])
    assert "images of 3 receive coils lie apart and will be combined" in inspect([tmp_path]).problems
    assert inspect([tmp_path]).can_reconstruct
    loaded = load_acquisition([tmp_path])
    ((given_magnitude, given_phase, times, mask, voxel_size_mm, _, _),) = handed_over
    np.testing.assert_array_equal(given_magnitude, magnitude)
    np.testing.assert_allclose(given_phase, _radians(phase), atol=1e-6)
    assert (given_magnitude.dtype, given_phase.dtype) == (np.float32, np.float32)
    assert (times, mask) == ((0.004, 0.009), None)
    assert voxel_size_mm == pytest.approx((0.8, 1.1, 2.3))
    assert (loaded.source["coils"], loaded.source["coil_combination"]) == (3, "MCPC-3D-S")
    np.testing.assert_allclose(loaded.gre_phase, _radians(phase)[..., 0], atol=1e-6)


@pytest.mark.parametrize("standard", [True, False], ids=["coil elements", "Siemens counters"])
def test_enhanced_images_of_single_coils(tmp_path: Path, standard: bool, handed_over: list[tuple[Any, ...]]) -> None:
    magnitude, phase = _stored()
    frames = [
        EnhancedFrame(name, time, k, part[:, :, k, e, c], rescale, coil=None if standard else str(c + 1),
                      coil_element=f"E{c + 1}" if standard else None)
        for name, part, rescale in (("MAGNITUDE", magnitude, (1.0, 0.0)), ("PHASE", phase, (2.0, -4096.0)))
        for k in range(SLAB.shape[2]) for e, time in enumerate(ECHO_TIMES_MS) for c in range(COILS)
    ]  # fmt: skip
    write_enhanced(tmp_path / "one", Style(scanning=None, software="syngo MR XA60"), SLAB, frames)
    load_acquisition([tmp_path])
    np.testing.assert_array_equal(handed_over[0][0], magnitude)
    np.testing.assert_allclose(handed_over[0][1], _radians(phase), atol=1e-6)


def test_combined_images_beside_single_coils_are_preferred(tmp_path: Path, handed_over: list[tuple[Any, ...]]) -> None:
    magnitude, phase = _stored()
    for style, stored in zip(siemens_styles(), (magnitude, phase), strict=True):
        for c, coil in enumerate(("HEA;HEP", "H1", "H2")):
            of_coil = replace(style, extra=((0x0051100F, "LO", coil),), series=f"{style.series}.{c}")
            for e, time in enumerate(ECHO_TIMES_MS):
                write_volume(tmp_path, of_coil, SLAB, time, stored[..., e, c])
    loaded = load_acquisition([tmp_path])
    assert handed_over == []
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude[..., 0])
    assert loaded.source["coils"] == 1


def test_a_coil_that_lacks_an_echo_is_refused(tmp_path: Path) -> None:
    magnitude, phase = _stored()
    for style, stored in zip(siemens_styles(), (magnitude, phase), strict=True):
        for c in range(COILS):
            of_coil = replace(style, extra=((0x0051100F, "LO", f"H{c}"),))
            for e, time in enumerate(ECHO_TIMES_MS[: 2 - (c == 2)]):
                write_volume(tmp_path, of_coil, SLAB, time, stored[..., e, c])
    with pytest.raises(InputError, match="uncombined images: got from 1 to 2 echoes of magnitude for a coil"):
        load_acquisition([tmp_path])


def test_unrecognisable_coils_are_refused(tmp_path: Path) -> None:
    magnitude, phase = _stored()
    for style, stored in zip(siemens_styles(), (magnitude, phase), strict=True):
        for c in range(COILS):
            for e, time in enumerate(ECHO_TIMES_MS):
                write_volume(tmp_path, style, SLAB, time, stored[..., e, c])
    with pytest.raises(InputError, match=r"16 slice positions with more than one image.*with coils combined"):
        load_acquisition([tmp_path])


def test_ge_coils_are_turned_before_they_are_combined(tmp_path: Path, handed_over: list[tuple[Any, ...]]) -> None:
    """The offset of a coil is smoothed across slices: alternating signs must be gone by then."""
    i, j, k, e, c = np.meshgrid(*[np.arange(n) for n in (*SLAB.shape, 2, COILS)], indexing="ij")
    truth = np.angle(np.exp(1j * ((0.2 * i + 0.1 * j - 0.1 * k) * (e + 1) + 2.0 * c)))
    signal = (1000.0 + 9.0 * i + 3.0 * j + c) * np.exp(-1j * truth) * np.where(k % 2, -1.0, 1.0)
    for coil in range(COILS):
        for number, part in ((2, signal.real), (3, signal.imag)):
            style = Style(manufacturer="GE MEDICAL SYSTEMS", ge=number, series="1.2.3.1.7",
                          extra=((0x0051100F, "LO", f"C{coil}"),))  # fmt: skip
            for echo, time in enumerate(ECHO_TIMES_MS):
                write_volume(tmp_path, style, SLAB, time, np.round(part[..., echo, coil]))
    loaded = load_acquisition([tmp_path])
    assert np.abs(np.angle(np.exp(1j * (handed_over[0][1] - truth)))).max() < 8e-4
    assert loaded.source["slice_alternation"]["corrected"]


def _save(path: Path, data: Array) -> Path:
    affine = np.eye(4)
    affine[:3, :3] = rotation(15.0, 10.0, -4.0) * [0.9, 1.2, 2.0]
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path


OPTIONS = LoadOptions(echo_times_s=(0.004, 0.009), field_strength_t=3.0)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_nifti_of_five_axes(tmp_path: Path, ending: str, handed_over: list[tuple[Any, ...]]) -> None:
    """Echoes on the fourth axis, coils on the fifth."""
    magnitude, phase = _stored()
    gre = _save(tmp_path / f"m.{ending}", magnitude.astype(np.int16))
    gre_phase = _save(tmp_path / f"p.{ending}", _radians(phase).astype(np.float32))
    loaded = load_acquisition([gre], gre_phase=[gre_phase], options=OPTIONS)
    np.testing.assert_array_equal(handed_over[0][0], magnitude)
    np.testing.assert_allclose(handed_over[0][1], _radians(phase), atol=1e-6)
    assert loaded.gre_magnitude.shape == (*SLAB.shape, 2)


def test_nifti_of_as_many_coils_in_both(tmp_path: Path) -> None:
    magnitude, phase = _stored()
    gre = _save(tmp_path / "m.nii", magnitude.astype(np.int16))
    gre_phase = _save(tmp_path / "p.nii", _radians(phase[..., :2]).astype(np.float32))
    with pytest.raises(InputError, match="coil 3 without one of its components"):
        load_acquisition([gre], gre_phase=[gre_phase], options=OPTIONS)


def test_a_lying_scale_of_coils_is_seen_through(tmp_path: Path, handed_over: Sequence[tuple[Any, ...]]) -> None:
    magnitude, phase = _stored()
    image = nibabel.Nifti1Image(_radians(phase).astype(np.float32), np.diag([0.9, 1.2, 2.0, 1.0]))
    image.header.set_slope_inter(0.00117, 0.0)
    nibabel.save(image, tmp_path / "p.nii")
    nibabel.save(nibabel.Nifti1Image(magnitude.astype(np.int16), image.affine), tmp_path / "m.nii")
    loaded = load_acquisition([tmp_path / "m.nii"], gre_phase=[tmp_path / "p.nii"], options=OPTIONS)
    np.testing.assert_allclose(handed_over[0][1], _radians(phase), atol=1e-6)
    assert any("stored values were used" in text for text in loaded.warnings)


def test_combined_phase_evolves_as_the_field_does(tmp_path: Path) -> None:
    """Four coils of different smooth offsets and opposite sides: what is left grows with time as the field makes it."""
    shape, times = (20, 18, 14), (0.004, 0.009)
    x, y, z = np.meshgrid(*[np.linspace(-1.0, 1.0, n) for n in shape], indexing="ij")
    field_hz = 18.0 * x * y + 9.0 * z
    truth = 2.0 * np.pi * field_hz[..., None] * np.array(times)
    sides = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)]
    gains = np.stack([np.exp(0.6 * (a * x + b * y)) for a, b in sides], axis=-1)
    offsets = np.stack([0.4 * a * y + 0.3 * b * x + 1.5 * number for number, (a, b) in enumerate(sides)], axis=-1)
    random = np.random.default_rng(7)
    signal = gains[..., None, :] * np.exp(1j * (truth[..., None] + offsets[..., None, :]))
    signal = 1000.0 * signal + random.normal(size=signal.shape) + 1j * random.normal(size=signal.shape)
    gre = _save(tmp_path / "m.nii", np.abs(signal).astype(np.float32))
    gre_phase = _save(tmp_path / "p.nii", np.angle(signal).astype(np.float32))
    loaded = load_acquisition([gre], gre_phase=[gre_phase], options=OPTIONS)
    expected = np.sqrt((np.abs(signal) ** 2).sum(axis=-1))
    np.testing.assert_allclose(loaded.gre_magnitude, expected, rtol=1e-5)
    inner = (slice(3, -3),) * 3
    evolved = loaded.gre_phase[..., 1].astype(float) - loaded.gre_phase[..., 0]
    error = np.angle(np.exp(1j * (evolved - (truth[..., 1] - truth[..., 0]))))[inner]
    assert np.sqrt((error**2).mean()) < 8e-4  # measured 6.4e-4; noise of two echoes alone is √2 / (1000 · 2.4)
    left = np.angle(np.exp(1j * (loaded.gre_phase[..., 0] - truth[..., 0])))[inner]
    assert np.ptp(left) < 0.01  # measured 0.003; a constant is harmless
