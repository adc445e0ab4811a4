"""ROMEO against known fields, scikit-image and the paper authors' own data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI
from ChiSepPreprocessLib.unwrap.echoes import wrap
from ChiSepPreprocessLib.unwrap.romeo import PRESETS, WEIGHTS, RomeoOptions, unwrap, voxel_quality

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


@pytest.mark.parametrize("weights", [("phase_coherence",), WEIGHTS[:3], WEIGHTS[2:], *((name,) for name in PRESETS)])
@pytest.mark.parametrize("with_magnitude", [True, False])
def test_any_weights_unwrap_a_clean_field(weights: tuple[str, ...], with_magnitude: bool) -> None:
    true, phase, magnitude = acquire()
    mask = ellipsoid()
    given = magnitude if with_magnitude else None
    unwrapped = unwrap(phase, given, TIMES, mask, RomeoOptions(weights=weights), SILENT)
    assert np.abs(unwrapped - true)[mask].max() < 1e-4


def test_presets_are_what_they_say() -> None:
    _, phase, magnitude = acquire(noise=0.5)
    mask = ellipsoid()
    results = {
        name: unwrap(phase, magnitude, TIMES, mask, RomeoOptions(weights=(name,)), SILENT)
        for name in ("romeo", "romeo4", "romeo2", "romeo6")
    }
    spelled = unwrap(phase, magnitude, TIMES, mask, RomeoOptions(weights=WEIGHTS[:4]), SILENT)
    np.testing.assert_array_equal(results["romeo"], spelled)
    np.testing.assert_array_equal(results["romeo4"], spelled)
    assert (results["romeo2"] != spelled).any() and (results["romeo6"] != spelled).any()


def expected_weight(phase: Array, other: Array, ratio: float, magnitude: Array, typical: float, at: int) -> Array:
    """The six qualities of the edge from ``at`` to ``at + 1`` of a row of voxels, from the published equations."""

    def straight(middle: int) -> float:
        bend = np.angle(np.exp(1j * (phase[middle - 1] - 2 * phase[middle] + phase[middle + 1])))
        return float(max(0, 1 - abs(bend) / 2))

    step, step2 = (np.angle(np.exp(1j * (p[at + 1] - p[at]))) for p in (phase, other))
    low, high = sorted(magnitude[at : at + 2])
    inside = at >= 1 and at + 2 < phase.size
    return np.asarray([
        1 - abs(step) / np.pi,
        max(0, 1 - abs(step - step2 * ratio)),
        straight(at) * straight(at + 1) if inside else 0.9,
        (low / high) ** 2,
        0.5 + 0.5 * min(1, low / typical),
        0.5 + 0.5 * min(1, typical / high),
    ])  # fmt: skip


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_costs_follow_the_published_equations(axis: int) -> None:
    from ChiSepPreprocessLib.unwrap._kernels import edge_costs

    rng = np.random.default_rng(6)
    shape = tuple(40 if other == axis else 1 for other in range(3))
    phase, other = rng.uniform(-np.pi, np.pi, (2, 40)).astype(np.float32)
    phase = np.cumsum(phase / 6).astype(np.float32)
    magnitude = rng.uniform(0.1, 2, 40).astype(np.float32)
    typical, ratio = 0.6, 0.4
    qualities = np.asarray([expected_weight(phase, other, ratio, magnitude, typical, at) for at in range(39)])
    for use in [*np.eye(6, dtype=bool), np.ones(6, bool)]:
        costs = np.zeros(3 * 40, np.uint8)
        edge_costs(
            0, shape[0], np.ones(shape, np.bool_), phase, other, np.float32(ratio), magnitude,
            np.float32(typical), tuple(bool(one) for one in use), costs,
        )  # fmt: skip
        expected = 255 * (1 - np.prod((0.1 + 0.9 * qualities)[:, use], axis=1))
        found = costs.reshape(40, 3)[:, axis]
        assert found[39] == 0
        assert np.abs(found[:39] - np.maximum(expected, 1)).max() < 0.501


@pytest.mark.parametrize("shape", [(23, 31, 17), (1, 40, 9), (12, 1, 1)])
def test_no_wrong_wrap_up_to_the_sampling_limit(shape: tuple[int, int, int]) -> None:
    """Steps of up to 0.98 π between neighbours of the first echo, other in each direction; beyond π in the others."""
    i, j, k = np.indices(shape)
    field = 2.9 * i + 30 * np.sin(0.08 * j) - 1.1 * k + 6 * np.exp(-((i - 9) ** 2 + (j - 15) ** 2) / 30)
    steps = [np.abs(np.diff(field, axis=axis)).max(initial=0) for axis in range(3)]
    field *= 0.98 * np.pi / max(steps)
    true = (field - np.median(field))[..., None]
    everywhere = np.ones(shape, np.bool_)
    for times in (TIMES, TIMES[:1]):
        one_field = true * np.asarray(times) / times[0]
        wrapped = wrap(one_field).astype(np.float32)
        unwrapped = unwrap(wrapped, np.ones_like(wrapped), times, everywhere, RomeoOptions(), SILENT)
        turns = np.rint((unwrapped - one_field) / TWO_PI)
        # A field of 12 turns has its seed further than two turns from zero: the constant stays open.
        assert np.count_nonzero(turns - turns[0, 0, 0]) == 0


def test_every_voxel_can_be_an_island() -> None:
    """Two echoes place each voxel alone, as long as the first has turned by no more than two and a half turns."""
    true, phase, magnitude = acquire()
    mask = ellipsoid() & (np.indices(SHAPE).sum(axis=0) % 2 == 0)
    assert np.abs(true[mask][:, 0]).max() / TWO_PI > 1.5
    unwrapped = unwrap(phase, magnitude, TIMES, mask, RomeoOptions(), SILENT)
    within_reach = mask & (np.abs(np.rint(true[..., 0] / TWO_PI)) <= 2)
    assert np.count_nonzero(np.rint((unwrapped - true)[within_reach] / TWO_PI)) == 0


def test_any_layout_in_memory_gives_the_same() -> None:
    _, phase, magnitude = acquire(noise=0.3)
    mask = ellipsoid()
    expected = unwrap(phase, magnitude, TIMES, mask, RomeoOptions(), SILENT)
    turned = unwrap(
        np.asfortranarray(phase.astype(np.float64)), np.asfortranarray(magnitude), TIMES, np.asfortranarray(mask),
        RomeoOptions(), SILENT,
    )  # fmt: skip
    np.testing.assert_array_equal(turned, expected)


def test_threads_of_a_caller_do_not_disturb_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    _, phase, magnitude = acquire(noise=0.3)
    mask = ellipsoid()
    expected = unwrap(phase, magnitude, TIMES, mask, RomeoOptions(), SILENT)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(unwrap, phase, magnitude, TIMES, mask, RomeoOptions(), SILENT) for _ in range(6)]
    for job in jobs:
        np.testing.assert_array_equal(job.result(), expected)


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


@pytest.mark.parametrize(
    ("values", "quantity"),
    [
        ({"template_echo": -1}, "template echo"),
        ({"weights": ("speed",)}, "ROMEO weights"),
        ({"weights": ()}, "ROMEO weights"),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, Any], quantity: str) -> None:
    with pytest.raises(InputError) as caught:
        RomeoOptions(**values)
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
