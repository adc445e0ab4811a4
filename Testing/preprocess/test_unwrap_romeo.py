"""ROMEO against known fields, scikit-image and the paper authors' own data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI
from ChiSepPreprocessLib.unwrap.echoes import wrap
from ChiSepPreprocessLib.unwrap.romeo import WEIGHTS, RomeoOptions, unwrap, voxel_quality

SHAPE = (47, 38, 29)
TIMES = (0.0077, 0.01273, 0.01776)
SILENT = Reporter()


def coordinates() -> list[Array]:
    return list(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))


def field_hz() -> Array:
    """Smooth field that turns the phase by up to 7 turns at the last echo."""
    x, y, z = coordinates()
    return 300 * np.exp(-((x - 0.2) ** 2 + (y + 0.4) ** 2 + z**2) / 0.3) + 90 * x * y - 70 * z


def acquire(noise: float = 0.0, seed: int = 1) -> tuple[Array, Array, Array]:
    """True phase, wrapped phase and magnitude of all echoes."""
    rng = np.random.default_rng(seed)
    true = TWO_PI * field_hz()[..., None] * np.asarray(TIMES)
    signal = np.exp(1j * true - np.asarray(TIMES) / 0.04)
    signal += noise * (rng.standard_normal(true.shape) + 1j * rng.standard_normal(true.shape))
    return true, np.angle(signal).astype(np.float32), np.abs(signal).astype(np.float32)


def ellipsoid() -> Array:
    x, y, z = coordinates()
    return np.asarray(x**2 + y**2 + z**2 < 0.9)


@pytest.mark.parametrize("options", [RomeoOptions(), RomeoOptions(template_echo=1), RomeoOptions(individual=True)])
@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_no_wrong_wrap_on_a_smooth_field(options: RomeoOptions, noise: float) -> None:
    true, phase, magnitude = acquire(noise)
    mask = ellipsoid()
    assert np.ptp(true[mask][:, -1]) > 5 * TWO_PI
    unwrapped = unwrap(phase, magnitude, TIMES, mask, options, SILENT)
    wrong = np.rint((unwrapped - true)[mask] / TWO_PI)
    assert np.count_nonzero(wrong) == 0
    assert not unwrapped[~mask].any()


@pytest.mark.parametrize("individual", [False, True])
def test_differs_from_the_wrapped_phase_by_multiples_of_two_pi(individual: bool) -> None:
    _, phase, magnitude = acquire(noise=0.3)
    mask = ellipsoid()
    unwrapped = unwrap(phase, magnitude, TIMES, mask, RomeoOptions(individual=individual), SILENT)
    turns = (unwrapped - phase)[mask].astype(np.float64) / TWO_PI
    assert np.abs(turns - np.rint(turns)).max() * TWO_PI < 1e-5


def test_agrees_with_scikit_image_up_to_a_global_multiple() -> None:
    from skimage.restoration import unwrap_phase

    _, phase, magnitude = acquire(noise=0.02)
    everywhere = np.ones(SHAPE, np.bool_)
    ours = unwrap(phase[..., :1], magnitude[..., :1], TIMES[:1], everywhere, RomeoOptions(), SILENT)[..., 0]
    turns = (ours - unwrap_phase(phase[..., 0])) / TWO_PI
    assert np.abs(turns - np.rint(turns[0, 0, 0])).max() < 1e-5


@pytest.mark.parametrize("weights", [("phase_coherence",), WEIGHTS[:3], WEIGHTS[2:]])
def test_any_weights_unwrap_a_clean_field(weights: tuple[str, ...]) -> None:
    true, phase, _ = acquire()
    mask = ellipsoid()
    unwrapped = unwrap(phase, None, TIMES, mask, RomeoOptions(weights=weights), SILENT)
    assert np.abs(unwrapped - true)[mask].max() < 1e-4


def test_every_island_of_the_mask_is_unwrapped_and_placed() -> None:
    true, phase, magnitude = acquire(noise=0.02)
    mask = ellipsoid()
    mask[20:22] = mask[:, 12] = False
    unwrapped = unwrap(phase, magnitude, TIMES, mask, RomeoOptions(), SILENT)
    assert np.count_nonzero(np.rint((unwrapped - true)[mask] / TWO_PI)) == 0


def test_correct_global_brings_the_median_of_each_island_near_zero() -> None:
    true, phase, magnitude = acquire()
    mask = ellipsoid()
    mask[20:22] = False
    options = RomeoOptions(correct_global=True)
    unwrapped = unwrap(phase[..., :1], magnitude[..., :1], TIMES[:1], mask, options, SILENT)[..., 0]
    index = np.arange(SHAPE[0])[:, None, None]
    for part in (mask & (index < 20), mask & (index > 21)):
        assert abs(np.median(np.rint(unwrapped[part] / TWO_PI))) == 0
        assert np.ptp(np.rint((unwrapped - true[..., 0])[part] / TWO_PI)) == 0


def test_voxels_without_phase_or_signal_do_no_harm() -> None:
    true, phase, magnitude = acquire()
    mask = ellipsoid()
    phase[10:12, 15:20, 9:15] = np.nan
    magnitude[30:33, 15:20, 9:15] = 0
    magnitude[20, 20, 20] = np.nan
    unwrapped = unwrap(phase, magnitude, TIMES, mask, RomeoOptions(), SILENT)
    known = mask & np.isfinite(phase).all(axis=3)
    assert np.abs(unwrapped - true)[known].max() < 1e-4
    assert not unwrapped[~known].any()


def test_quality_tells_signal_from_noise() -> None:
    _, phase, magnitude = acquire(noise=0.02)
    rng = np.random.default_rng(0)
    noisy = np.zeros(SHAPE, np.bool_)
    noisy[:12] = True
    phase[noisy] = rng.uniform(-np.pi, np.pi, phase[noisy].shape)
    quality = voxel_quality(phase, magnitude, TIMES, np.ones(SHAPE, np.bool_))
    interior = (slice(2, -2),) * 3
    assert np.median(quality[interior][noisy[interior]]) < 0.06
    assert np.median(quality[interior][~noisy[interior]]) > 0.75
    assert quality.min() >= 0 and quality.max() <= 1


def test_quality_of_a_uniform_phase_counts_the_edges() -> None:
    phase = np.full((4, 5, 6, 1), 0.3, np.float32)
    quality = voxel_quality(phase, np.ones_like(phase), (0.01,), np.ones((4, 5, 6), np.bool_))
    # Linearity counts 0.9 where the row leaves the volume, so that edge weighs 0.91; costs begin at 1/255.
    assert quality[2, 2, 2] == pytest.approx((5 * 254 / 255 + 0.91) / 6, abs=1e-3)
    assert quality[0, 0, 0] == pytest.approx(3 * 0.91 / 6, abs=1e-3)


@pytest.mark.parametrize(
    ("individual", "changed", "lowest"),
    [(True, [389, 18635, 38242], [-3.712, -7.261, -11.383]), (False, [389, 18635, 38243], [-3.712, -7.261, -11.568])],
)
def test_published_data_unwrap_as_the_published_program_does(
    individual: bool, changed: list[int], lowest: list[float]
) -> None:
    # The published program changes 389, 18635, 38242 voxels in its mode for individual echoes.
    nibabel = pytest.importorskip("nibabel")
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("CHISEP_TEST_DATA", root.parent / "shared" / "data")) / "romeo"
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set CHISEP_TEST_DATA")
    # The header's scale factor is wrong; the stored values are radians.
    phase, magnitude = (
        np.asanyarray(nibabel.load(folder / name).dataobj.get_unscaled()).astype(np.float32)
        for name in ("Phase.nii.gz", "Mag.nii.gz")
    )
    everywhere = np.ones(phase.shape[:3], np.bool_)
    options = RomeoOptions(individual=individual)
    unwrapped = unwrap(phase, magnitude, (0.004, 0.008, 0.012), everywhere, options, SILENT)
    turns = np.rint((unwrapped - phase) / TWO_PI)
    assert np.count_nonzero(turns, axis=(0, 1, 2)).tolist() == changed
    np.testing.assert_allclose(unwrapped.min(axis=(0, 1, 2)), lowest, atol=5e-4)
    np.testing.assert_allclose(unwrapped.max(axis=(0, 1, 2)), [2.356, 4.786, 6.979], atol=5e-4)


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({"options": RomeoOptions(template_echo=3)}, "template echo"),
        ({"options": RomeoOptions(weights=("speed",))}, "ROMEO weights"),
        ({"options": RomeoOptions(weights=())}, "ROMEO weights"),
        ({"mask": np.zeros(SHAPE, np.bool_)}, "mask"),
        ({"mask": np.ones(SHAPE, np.uint8)}, "mask"),
        ({"echo_times_s": (0.01, 0.02)}, "phase"),
        ({"echo_times_s": (0.01, 0.02, 0.02)}, "echo times"),
        ({"magnitude": np.ones((*SHAPE, 2), np.float32)}, "magnitude"),
        ({"phase": np.full((*SHAPE, 3), np.nan, np.float32)}, "phase"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], quantity: str) -> None:
    _, phase, magnitude = acquire()
    given = {"phase": phase, "magnitude": magnitude, "echo_times_s": TIMES, "mask": ellipsoid(),
             "options": RomeoOptions(), "report": SILENT}  # fmt: skip
    with pytest.raises(InputError) as caught:
        unwrap(**{**given, **change})  # type: ignore[arg-type]
    assert caught.value.quantity == quantity


def test_can_be_cancelled() -> None:
    _, phase, magnitude = acquire()
    with pytest.raises(CancelledError):
        unwrap(phase, magnitude, TIMES, ellipsoid(), RomeoOptions(), Reporter(lambda status: status.fraction < 0.5))


def test_wrap_keeps_dtype_and_range() -> None:
    angles = np.linspace(-40, 40, 4001, dtype=np.float32)
    wrapped = wrap(angles)
    assert wrapped.dtype == np.float32
    assert np.abs(wrapped).max() < np.pi + 1e-5
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angles.astype(np.float64)), atol=1e-5)
