"""Files in the form of each vendor come back in the project's convention, and what was done is recorded."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.loading import LoadOptions, inspect, load_acquisition
from dicom_writer_for_tests import (
    Array,
    EnhancedFrame,
    Slab,
    Style,
    real_world_mapping,
    siemens_styles,
    write_enhanced,
    write_siemens_gre,
    write_volume,
)

SLAB = Slab(shape=(11, 9, 8))
ECHO_TIMES_MS = (4.0, 9.5, 15.5)
XA = Style(scanning=None, image_type=("ORIGINAL", "PRIMARY", "MIXED", "NONE"), sequence_name="*fl3d3",
           software="syngo MR XA30")  # fmt: skip


def _truth(slab: Slab = SLAB) -> tuple[Array, Array]:
    """Amplitude (a.u.) and phase (rad) of a smooth field, wrapped, with all of ±π."""
    i, j, k, echo = np.meshgrid(*[np.arange(n) for n in (*slab.shape, len(ECHO_TIMES_MS))], indexing="ij")
    phase = np.angle(np.exp(1j * (0.3 + (0.23 * i + 0.17 * j - 0.15 * k) * np.array(ECHO_TIMES_MS)[echo] / 4.0)))
    phase[0, 0, 0], phase[1, 0, 0] = -np.pi, np.pi * 4094 / 4096
    return np.round(3000.0 - 60.0 * i - 20.0 * j - 7.0 * k - 100.0 * echo), phase


def _twelve_bits(phase: Array) -> Array:
    return np.round((phase / np.pi * 4096.0 + 4096.0) / 2.0).astype(int)


def _distance(phase: Array, truth: Array) -> float:
    """Largest distance on the circle, rad."""
    return float(np.abs(np.angle(np.exp(1j * (phase.astype(float) - truth)))).max())


def _siemens_frames(echoes: list[int], *, component: bool) -> list[EnhancedFrame]:
    """Magnitude and phase interleaved; the component by its own element or by the frame's type alone."""
    magnitude, phase = _truth()
    parts = (("MAGNITUDE", "M", magnitude, None), ("PHASE", "P", _twelve_bits(phase), (2.0, -4096.0)))
    return [
        EnhancedFrame(name if component else None, ECHO_TIMES_MS[e], k, part[:, :, k, e], rescale,
                      frame_type=("ORIGINAL", "PRIMARY", letter, "NONE"))
        for k in range(SLAB.shape[2]) for e in echoes for name, letter, part, rescale in parts
    ]  # fmt: skip


@pytest.mark.parametrize("component", [True, False], ids=["ComplexImageComponent", "FrameType"])
@pytest.mark.parametrize("one_file", [True, False], ids=["one file", "a file for each echo"])
def test_siemens_enhanced(tmp_path: Path, one_file: bool, component: bool) -> None:
    for number, echoes in enumerate([[2, 0, 1]] if one_file else [[2], [0], [1]]):
        write_enhanced(tmp_path / str(number), XA, SLAB, _siemens_frames(echoes, component=component))
    loaded = load_acquisition([tmp_path])
    magnitude, phase = _truth()
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude)
    assert _distance(loaded.gre_phase, phase) <= np.pi / 4096 + 1e-6
    assert loaded.scan.echo_times_s == (0.004, 0.0095, 0.0155)
    assert loaded.warnings == ()
    facts = ("vendor", "software", "export", "phase_sign")
    assert [loaded.source[key] for key in facts] == ["Siemens", "syngo MR XA30", "enhanced", "as stored"]


def test_a_large_file_is_read_frame_by_frame(tmp_path: Path) -> None:
    """No copy of the whole file beside the result: measured peak 1.5 times the result, one echo at a time."""
    slab = Slab(shape=(96, 80, 12))
    random = np.random.default_rng(0)
    stored = random.integers(0, 4096, slab.shape)
    frames = [
        EnhancedFrame(name, 4.0 + e, k, stored[:, :, k], rescale)
        for e in range(8) for k in range(slab.shape[2])
        for name, rescale in (("MAGNITUDE", (1.0, 0.0)), ("PHASE", (2.0, -4096.0)))
    ]  # fmt: skip
    write_enhanced(tmp_path / "one", XA, slab, frames)
    load_acquisition([tmp_path])  # what loads at first use is not counted
    tracemalloc.start()
    loaded = load_acquisition([tmp_path])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.9 * (loaded.gre_magnitude.nbytes + loaded.gre_phase.nbytes)


def test_siemens_interoperability(tmp_path: Path) -> None:
    """The classic export of an XA system: no echo numbers, but echo times; both components in one series."""
    magnitude, phase = _truth()
    styles = siemens_styles(Style(software="syngo MR XA31A", echo_train=3))
    for style, stored in zip(styles, (magnitude, _twelve_bits(phase)), strict=True):
        for e in (1, 2, 0):
            write_volume(tmp_path, replace(style, series="1.2.3.1.1"), SLAB, ECHO_TIMES_MS[e], stored[..., e])
    loaded = load_acquisition([tmp_path])
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude)
    assert _distance(loaded.gre_phase, phase) <= np.pi / 4096 + 1e-6
    assert (loaded.source["export"], loaded.source["series"]) == ("interoperability", 1)


def test_siemens_echo_number_of_the_private_counters(tmp_path: Path) -> None:
    """Where no header has echo times, the private counters order the echoes that the user states."""
    magnitude, phase = _truth()
    for style, stored in zip(siemens_styles(), (magnitude, _twelve_bits(phase)), strict=True):
        for e in (2, 0, 1):
            counted = replace(style, extra=((0x00211106, "LO", f"X_{e + 1}_1_1_1_1_7_1_1_1_1_1_9"),))
            write_volume(tmp_path, counted, SLAB, None, stored[..., e])
    loaded = load_acquisition([tmp_path], options=LoadOptions(echo_times_s=(0.004, 0.0095, 0.0155)))
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude)


@pytest.mark.parametrize("largest", [np.pi, 0.9])
def test_siemens_phase_without_rescale(tmp_path: Path, largest: float) -> None:
    """Twelve unsigned bits tell the scale, also where no voxel comes near ±π; the rule is said."""
    magnitude, phase = _truth()
    stored = _twelve_bits(phase * largest / np.pi)
    for style, values in zip(siemens_styles(), (magnitude, stored), strict=True):
        for e, time in enumerate(ECHO_TIMES_MS):
            bare = replace(style, rescale=None, rescale_type=None)
            write_volume(tmp_path, bare, SLAB, time, values[..., e])
    loaded = load_acquisition([tmp_path])
    assert _distance(loaded.gre_phase, phase * largest / np.pi) <= np.pi / 4096 + 1e-6
    assert "−π + 2π·value/4096" in loaded.warnings[0]
    assert [("spans only -0.90 to 0.90 rad" in text) for text in loaded.warnings[1:]] == [True] * (largest < np.pi)
    assert loaded.source["phase_formula"] == "rad = 0.00153398 · value -3.14159"


@pytest.mark.parametrize(("vendor", "token"), [("SIEMENS", "MOSAIC"), ("UIH", "VFRAME")])
def test_tiled_images_are_refused_with_the_next_step(tmp_path: Path, vendor: str, token: str) -> None:
    magnitude, phase = _truth()
    base = Style(manufacturer=vendor, image_type=("ORIGINAL", "PRIMARY", "M", "ND", token))
    for style, stored in ((base, magnitude), (siemens_styles(base)[1], _twelve_bits(phase))):
        tiled = replace(style, image_type=(*style.image_type[:4], token))
        for e, time in enumerate(ECHO_TIMES_MS):
            write_volume(tmp_path, tiled, SLAB, time, stored[..., e])
    with pytest.raises(InputError, match=f"{token} images, which tile many slices into one.*dcm2niix"):
        load_acquisition([tmp_path])
    assert any(token in obstacle for obstacle in inspect([tmp_path]).obstacles)


PHILIPS = Style(manufacturer="Philips Medical Systems", scanning=None, sequence_name="FFE",
                image_type=("ORIGINAL", "PRIMARY", "M_FFE", "M"), software="5.7.1")  # fmt: skip
PHASE_SLOPE = 2 * 3142 / 4095


def _philips_stored(phase: Array) -> Array:
    return np.round((phase + np.pi) / (2.0 * np.pi) * 4095.0).astype(int)


@pytest.mark.parametrize("private", [True, False], ids=["(2005,100E)", "real-world values"])
def test_philips_enhanced(tmp_path: Path, private: bool) -> None:
    """Precise values by the private scale, or, where it was stripped, by the real-world mapping in rad."""
    magnitude, phase = _truth()
    stored = _philips_stored(phase)
    frames = []
    for k in range(SLAB.shape[2]):
        for e, time in enumerate(ECHO_TIMES_MS):
            frames += [
                EnhancedFrame("MAGNITUDE", time, k, magnitude[:, :, k, e], (1.5 + 0.1 * k, 0.0), "normalized",
                              philips=("M", 2e-4) if private else None,
                              real_world=None if private else (5000.0, 0.0, "1")),
                EnhancedFrame("PHASE", time, k, stored[:, :, k, e], (PHASE_SLOPE, -3142.0), "mrad" if private else "US",
                              philips=("P", 4095 / (2 * np.pi)) if private else None,
                              real_world=None if private else (2 * np.pi / 4095, -np.pi, "rad")),
            ]  # fmt: skip
    write_enhanced(tmp_path / "one", PHILIPS, SLAB, frames)
    loaded = load_acquisition([tmp_path])
    # Slices of different rescale are one image again: PV/SS, whatever the display slope.
    np.testing.assert_allclose(loaded.gre_magnitude, magnitude * 5000.0, rtol=1e-6)
    assert _distance(loaded.gre_phase, phase) <= 2 * np.pi / 4095 / 2 + 3e-4 * private
    expected = "Philips precise values, (PV·RS + RI)/(RS·SS)" if private else "real-world value mapping"
    assert loaded.source["magnitude_scaling"] == expected
    assert loaded.source["phase_scaling"] == ("Philips precise (header)" if private else "rad (header)")
    assert loaded.warnings == ()


def _philips_classic(letter: str) -> Style:
    name = {"M": "M_FFE", "P": "PHASE MAP", "R": "R_FFE", "I": "I_FFE"}[letter]
    return Style(manufacturer="Philips Healthcare", image_type=("ORIGINAL", "PRIMARY", name, letter, "FFE"))


@pytest.mark.parametrize("letters", ["MPRI", "RI", "MRI"])
def test_philips_components_mixed_in_one_series(tmp_path: Path, letters: str) -> None:
    magnitude, phase = _truth()
    signal = magnitude * np.exp(1j * phase)
    signed = {"R": signal.real, "I": signal.imag}
    for letter in letters:
        style = _philips_classic(letter)
        stored = {"M": magnitude, "P": _philips_stored(phase)}.get(letter)
        if stored is None:  # unsigned, as the scanner stores them, with a negative intercept
            stored = np.round((signed[letter] + 3100.0) / 6200.0 * 4095.0)
            style = replace(style, rescale=(6200.0 / 4095.0, -3100.0), rescale_type="normalized",
                            philips=(letter, 4095.0 / 6200.0))  # fmt: skip
        elif letter == "P":
            style = replace(style, rescale=(PHASE_SLOPE, -3142.0), rescale_type="mrad",
                            philips=("P", 4095 / (2 * np.pi)))  # fmt: skip
        else:
            style = replace(style, rescale=(1.0, 0.0), rescale_type="normalized", philips=("M", 1.0))
        for e, time in enumerate(ECHO_TIMES_MS):
            write_volume(tmp_path, style, SLAB, time, stored[..., e])
    loaded = load_acquisition([tmp_path])
    np.testing.assert_allclose(loaded.gre_magnitude, magnitude, atol=1.6)  # one quantum of the parts
    assert _distance(loaded.gre_phase, phase) < 1.2e-3
    assert loaded.source["phase_sign"] == "as stored"
    used = "Philips precise (header)" if letters == "MPRI" else "real and imaginary parts"
    assert loaded.source["phase_scaling"] == used


def test_philips_classic_with_real_world_values(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    mapping = ((0x00409096, "SQ", real_world_mapping(0.001, -2.047, "rad")),)
    stored = np.round((phase * 0.65 + 2.047) / 0.001)
    for style, values in ((_philips_classic("M"), magnitude),
                          (replace(_philips_classic("P"), extra=mapping), stored)):  # fmt: skip
        for e, time in enumerate(ECHO_TIMES_MS):
            write_volume(tmp_path, style, SLAB, time, values[..., e])
    loaded = load_acquisition([tmp_path])
    assert np.abs(loaded.gre_phase - phase * 0.65).max() < 5.1e-4
    assert "spans only -2.04 to 2.04 rad" in loaded.warnings[0]


def _write_ge(folder: Path, signal: Array, magnitude: Array | None = None) -> None:
    """GE's real and imaginary parts, and magnitude, in one series, told apart by a private number."""
    parts = {2: signal.real, 3: signal.imag, **({} if magnitude is None else {0: magnitude})}
    for number, part in parts.items():
        style = Style(manufacturer="GE MEDICAL SYSTEMS", image_type=("ORIGINAL", "PRIMARY", "OTHER"), ge=number,
                      software="29")  # fmt: skip
        for e, time in enumerate(ECHO_TIMES_MS):
            write_volume(folder, style, SLAB, time, np.round(part[..., e]))


@pytest.mark.parametrize("alternating", [True, False])
def test_ge_real_and_imaginary(tmp_path: Path, alternating: bool) -> None:
    magnitude, phase = _truth()
    signs = np.where(np.arange(SLAB.shape[2]) % 2, -1.0, 1.0) if alternating else np.ones(SLAB.shape[2])
    _write_ge(tmp_path, magnitude * np.exp(-1j * phase) * signs[:, None], magnitude)
    loaded = load_acquisition([tmp_path])
    np.testing.assert_allclose(loaded.gre_magnitude, magnitude, atol=0.8)
    assert _distance(loaded.gre_phase, phase) < 5e-4
    found = loaded.source["slice_alternation"]
    # The truth turns by 0.15 rad from slice to slice in the first echo.
    assert found["angle_rad"] == pytest.approx(np.pi - 0.15 if alternating else 0.15, abs=0.02)
    assert (found["axis"], found["corrected"]) == ("k", alternating)
    assert loaded.source["phase_sign"] == "negated"
    assert [("every other slice" in text) for text in loaded.warnings] == [True] * alternating + [False]


def test_ge_slices_that_are_unclear_are_kept_and_said(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    steep = np.angle(np.exp(1j * (phase + 1.6 * np.arange(SLAB.shape[2])[:, None])))
    _write_ge(tmp_path, magnitude * np.exp(-1j * steep))
    loaded = load_acquisition([tmp_path])
    assert _distance(loaded.gre_phase, steep) < 5e-4
    assert "is unclear (mean angle between neighbouring slices 1.45 rad" in loaded.warnings[0]


def test_flip_phase_reverses_the_vendors_rule(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    _write_ge(tmp_path, magnitude * np.exp(-1j * phase))
    plain, flipped = load_acquisition([tmp_path]), load_acquisition([tmp_path], options=LoadOptions(flip_phase=True))
    assert _distance(flipped.gre_phase, -plain.gre_phase.astype(float)) < 1e-6
    assert flipped.source["phase_sign"] == "as stored"
    assert flipped.source["phase_sign_rule"].endswith("reversed on request")


@pytest.mark.parametrize(
    ("manufacturer", "name"), [("CANON_MEC", "Canon"), ("TOSHIBA_MEC", "Canon"), ("UIH", "United")]
)
@pytest.mark.parametrize("unit", ["siemens", "mrad"])
def test_vendors_whose_phase_is_told_by_its_rescale(tmp_path: Path, manufacturer: str, name: str, unit: str) -> None:
    """Component by ImageType; unit by the range of the rescaled values, which is said, as is the sign taken."""
    magnitude, phase = _truth()
    base = Style(manufacturer=manufacturer, image_type=("ORIGINAL", "PRIMARY", "MAGNITUDE"))
    rescale = (2.0, -4096.0) if unit == "siemens" else (2 * 3141.6 / 4095, -3141.6)
    as_phase = replace(base, image_type=("ORIGINAL", "PRIMARY", "PHASE"), rescale=rescale, series="1.2.3.1.4")
    stored = _twelve_bits(phase) if unit == "siemens" else _philips_stored(phase)
    for style, values in ((base, magnitude), (as_phase, stored)):
        for e, time in enumerate(ECHO_TIMES_MS):
            write_volume(tmp_path, style, SLAB, time, values[..., e])
    loaded = load_acquisition([tmp_path])
    assert _distance(loaded.gre_phase, phase) < 8e-4
    assert f"in unit '{unit}' alone" in loaded.warnings[0]
    assert loaded.warnings[1].startswith(f"For {name}")
    assert loaded.source["phase_sign_rule"] == "no vendor fact is known; kept as stored"


def test_uneven_echoes_are_read_and_recorded(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, magnitude, _twelve_bits(phase))
    loaded = load_acquisition([tmp_path])
    assert loaded.warnings == ()
    assert loaded.source["echo_spacing"] == {
        "spacings_s": [0.0055, 0.006], "largest_deviation_s": 0.00025, "even": False,
    }  # fmt: skip
    assert json.loads(json.dumps(dict(loaded.source))) == dict(loaded.source)
    table = loaded.source["echoes"]
    assert [row["time_s"] for row in table] == [0.004, 0.0095, 0.0155]
    assert table[0]["stored_phase_range"] == [-4096.0, 4094.0]
    assert table[0]["phase_scale_rad"] == pytest.approx(np.pi / 4096)
    assert table[1]["magnitude_range"] == [magnitude[..., 1].min(), magnitude[..., 1].max()]
