"""The entry to masking: extraction and phase quality together, refining, and checks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, generate_binary_structure, label

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.masking.bet import brain_mask
from ChiSepPreprocessLib.masking.checks import check_mask
from ChiSepPreprocessLib.masking.mask import MaskMethod, MaskOptions, make_brain_mask, refine
from ChiSepPreprocessLib.masking.quality import QualityOptions, reliable_part, with_surroundings

SHAPE, VOXELS_MM = (59, 67, 39), (3.0, 3.0, 4.5)
TIMES = (0.005, 0.010)
RADIUS_MM = 68.0


def dice(one: Array, two: Array) -> float:
    return float(2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two)))


def scan() -> tuple[Array, Array, dict[str, Array]]:
    """Round head with two echoes: magnitude, phase and its parts.

    Phase is noise in air and bone, in a ball of iron inside the brain, in a vein that reaches the surface, and in a
    large part of the brain beside a sinus.
    """
    points = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(SHAPE, VOXELS_MM, strict=True)]
    x, y, z = np.meshgrid(*points, indexing="ij", sparse=True)
    radius = np.sqrt(x**2 + y**2 + z**2)
    brain = radius < RADIUS_MM
    parts = {
        "brain": brain,
        "iron": (x - 15) ** 2 + (y + 10) ** 2 + z**2 < 9**2,
        "vein": (np.abs(x - 3) < 2) & (np.abs(z) < 3) & (y > 30) & brain,
        "sinus": (x**2 + (y + 62) ** 2 + (z + 25) ** 2 < 26**2) & brain,
    }
    image = np.where(brain, 1.0, np.where((radius > 75) & (radius < 81), 0.9, 0.03))
    rng = np.random.default_rng(8)
    magnitude = image[..., None] * np.array([1.0, 0.9])
    magnitude = np.hypot(magnitude + rng.normal(0, 0.02, magnitude.shape), rng.normal(0, 0.02, magnitude.shape))
    phase = 0.02 * (x + y + 2 * z)[..., None] * np.array([1.0, 2.0]) + rng.normal(0, 0.03, magnitude.shape)
    bad = (image < 0.1) | parts["iron"] | parts["vein"] | parts["sinus"]
    phase[bad] = rng.uniform(-np.pi, np.pi, (np.count_nonzero(bad), 2))
    return magnitude.astype(np.float32), np.angle(np.exp(1j * phase)).astype(np.float32), parts


@pytest.fixture(scope="module")
def head() -> tuple[Array, Array, dict[str, Array]]:
    return scan()


def test_bad_phase_is_cut_at_the_rim_and_kept_inside(head: tuple[Array, Array, dict[str, Array]]) -> None:
    magnitude, phase, parts = head
    mask = make_brain_mask(magnitude, phase, TIMES, VOXELS_MM)
    bet = make_brain_mask(magnitude, phase, TIMES, VOXELS_MM, MaskOptions(method="bet"))
    np.testing.assert_array_equal(bet, brain_mask(np.sqrt((magnitude**2).sum(-1)), VOXELS_MM))
    assert dice(bet, parts["brain"]) > 0.97
    assert not np.any(mask & ~bet)
    assert mask[parts["iron"]].all()
    assert mask[parts["vein"] & bet].mean() > 0.9
    core = binary_erosion(parts["sinus"], generate_binary_structure(3, 3))
    assert core.sum() > 100
    assert mask[core].mean() < 0.05
    good = parts["brain"] & ~parts["sinus"]
    assert dice(mask, good) > 0.97
    assert label(mask)[1] == 1


def test_quality_alone_finds_the_brain_without_the_scalp(head: tuple[Array, Array, dict[str, Array]]) -> None:
    magnitude, phase, parts = head
    mask = make_brain_mask(magnitude, phase, TIMES, VOXELS_MM, MaskOptions(method="phase-quality"))
    assert dice(mask, parts["brain"] & ~parts["sinus"]) > 0.95
    x, y, z = ((np.arange(n) - (n - 1) / 2) * size for n, size in zip(SHAPE, VOXELS_MM, strict=True))
    far = np.sqrt(x[:, None, None] ** 2 + y[:, None] ** 2 + z**2) > 75
    assert not mask[far].any()


def test_nothing_reliable_is_an_error(head: tuple[Array, Array, dict[str, Array]]) -> None:
    magnitude, _, parts = head
    noise = np.random.default_rng(9).uniform(-np.pi, np.pi, magnitude.shape).astype(np.float32)
    with pytest.raises(InputError, match="phase quality"):
        reliable_part(noise, magnitude, TIMES, parts["brain"], VOXELS_MM, QualityOptions(threshold=0.95))


def test_a_given_mask_is_filled_then_eroded() -> None:
    mask = np.zeros((15, 13, 11), np.bool_)
    mask[2:13, 2:11, 2:9] = True
    holed = mask.copy()
    holed[7, 6, 5] = False
    np.testing.assert_array_equal(refine(holed, VOXELS_MM, MaskOptions()), mask)
    np.testing.assert_array_equal(refine(holed, VOXELS_MM, MaskOptions(fill_holes=False)), holed)
    eroded = np.zeros_like(mask)
    eroded[3:12, 3:10, 2:9] = True  # 4 mm reach one voxel of 3 mm, but none of 4.5 mm.
    np.testing.assert_array_equal(refine(holed, VOXELS_MM, MaskOptions(erosion_mm=4.0)), eroded)
    with pytest.raises(InputError, match="leaves nothing"):
        refine(mask, VOXELS_MM, MaskOptions(erosion_mm=30.0))


def test_masks_that_cannot_be_the_brain_are_refused(head: tuple[Array, Array, dict[str, Array]]) -> None:
    magnitude, _, parts = head
    image = magnitude[..., 0]
    assert check_mask(parts["brain"], image, float(np.prod(VOXELS_MM))) == ()
    (warning,) = check_mask(parts["brain"], image, 3 * float(np.prod(VOXELS_MM)))
    assert "ml" in warning
    cases = {
        "no voxel": np.zeros(SHAPE, np.bool_),
        "of the image": np.ones(SHAPE, np.bool_),
        "without signal": np.pad(np.ones((57, 65, 37), np.bool_), 1),
        "shape": parts["brain"][1:],
        "uint8": parts["brain"].astype(np.uint8),
    }
    for text, mask in cases.items():
        with pytest.raises(InputError, match=text):
            check_mask(mask, image, 27.0)


@pytest.mark.parametrize("options", [{"method": "best"}, {"erosion_mm": -1.0}])
def test_options_out_of_range_are_refused(options: dict[str, MaskMethod]) -> None:
    with pytest.raises(InputError):
        MaskOptions(**options)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        QualityOptions(threshold=1.0)


def test_surroundings_are_where_phase_is_reliable(head: tuple[Array, Array, dict[str, Array]]) -> None:
    """The scalp, 7 to 13 mm beyond the brain, has reliable phase; the bone between them has none."""
    magnitude, phase, parts = head
    mask = reliable_part(phase, magnitude, TIMES, parts["brain"], VOXELS_MM, QualityOptions())
    wide = with_surroundings(phase, magnitude, TIMES, mask, VOXELS_MM, 6.0, QualityOptions())
    assert wide[mask].all()
    added = wide & ~mask
    assert np.count_nonzero(added & ~parts["brain"]) < 0.01 * np.count_nonzero(mask)
    assert with_surroundings(phase, magnitude, TIMES, mask, VOXELS_MM, 0.0, QualityOptions()) is mask
    shrunk = binary_erosion(mask, iterations=2)
    again = with_surroundings(phase, magnitude, TIMES, shrunk, VOXELS_MM, 6.0, QualityOptions())
    assert np.count_nonzero(again & mask) > 0.5 * np.count_nonzero(mask & ~shrunk) + np.count_nonzero(shrunk)
