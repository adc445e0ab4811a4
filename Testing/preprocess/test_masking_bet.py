"""Brain extraction on analytic heads, on a real head and on a brain without skull."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.masking.bet import BetOptions, brain_mask, estimate_head
from ChiSepPreprocessLib.masking.surface import icosphere
from ChiSepPreprocessLib.progress import Reporter, Status

BRAIN_AXES_MM = np.array([66.0, 84.0, 62.0])
#: Thickness (mm) outward from the brain, and intensity: fluid, bone, scalp.
LAYERS = ((3.0, 0.35), (6.0, 0.05), (6.0, 0.9))


def dice(one: Array, two: Array) -> float:
    return float(2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two)))


def head(
    shape: tuple[int, int, int], voxel_size_mm: tuple[float, float, float], layers: tuple[tuple[float, float], ...],
    tilt_degrees: float = 12.0,
) -> tuple[Array, Array]:  # fmt: skip
    """Ellipsoidal head, tilted and off-centre, with a shading of ±20 % and noise; and its brain."""
    points = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, voxel_size_mm, strict=True)]
    x, y, z = np.meshgrid(*points, indexing="ij", sparse=True)
    x, y, z = x - 3, y + 4, z - 2
    cos, sin = np.cos(np.radians(tilt_degrees)), np.sin(np.radians(tilt_degrees))
    y, z = cos * y - sin * z, sin * y + cos * z

    def inside(margin_mm: float) -> Array:
        a, b, c = BRAIN_AXES_MM + margin_mm
        return np.asarray((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1)

    image = np.zeros(shape)
    margin = sum(thickness for thickness, _ in layers)
    for thickness, value in reversed(layers):
        image[inside(margin)] = value
        margin -= thickness
    brain = inside(0.0)
    image[brain] = 1.0
    noise = np.random.default_rng(4).normal(0, 0.03, (2, *shape))
    return np.hypot(image * (1 + 0.2 * y / 84) + noise[0], noise[1]).astype(np.float32), brain


GRIDS = {
    "isotropic, odd": ((87, 101, 85), (2.0, 2.0, 2.0)),
    "1x1x2 mm": ((168, 200, 81), (1.0, 1.0, 2.0)),
    "0.9x0.9x3 mm": ((185, 221, 55), (0.9, 0.9, 3.0)),
    "thick first axis": ((57, 101, 85), (3.0, 2.0, 2.0)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_brain_of_a_head_is_found(name: str) -> None:
    shape, voxels = GRIDS[name]
    image, brain = head(shape, voxels, LAYERS)
    # Measured: 0.994 to 0.996.
    assert dice(brain_mask(image, voxels), brain) > 0.992


@pytest.mark.parametrize("layers", [(), ((4.0, 0.3),)], ids=["brain alone", "brain and fluid"])
def test_a_brain_without_skull_is_found(layers: tuple[tuple[float, float], ...]) -> None:
    image, brain = head((87, 101, 85), (2.0, 2.0, 2.0), layers)
    # Measured: 0.995 and 0.996.
    assert dice(brain_mask(image, (2.0, 2.0, 2.0)), brain) > 0.993


def test_intensity_scale_does_not_matter() -> None:
    image, _ = head((59, 69, 57), (3.0, 3.0, 3.0), LAYERS)
    once = brain_mask(image, (3.0, 3.0, 3.0))
    np.testing.assert_array_equal(brain_mask(image * 4096, (3.0, 3.0, 3.0)), once)


def test_a_smaller_fraction_gives_a_larger_brain() -> None:
    image, _ = head((59, 69, 57), (3.0, 3.0, 3.0), LAYERS)
    sizes = [
        brain_mask(image, (3.0, 3.0, 3.0), BetOptions(fractional_intensity=f, subdivisions=3)).sum()
        for f in (0.2, 0.5, 0.75)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_gradient_follows_the_superior_axis(axis: int) -> None:
    image, _ = head((59, 69, 57), (3.0, 3.0, 3.0), LAYERS, tilt_degrees=0.0)
    superior = np.eye(3)[axis]

    def height(gradient: float) -> float:
        options = BetOptions(gradient=gradient, subdivisions=3, passes=1)
        mask = brain_mask(image, (3.0, 3.0, 3.0), options, superior_axis_ijk=superior.tolist())
        return float(np.argwhere(mask).mean(axis=0)[axis])

    assert height(0.3) < height(0.0) - 0.3
    assert height(-0.3) > height(0.0) + 0.3


def test_the_levels_are_those_of_the_histogram() -> None:
    image, brain = head((87, 101, 85), (2.0, 2.0, 2.0), ())
    found = estimate_head(image, np.array([2.0, 2.0, 2.0]))
    truth = np.argwhere(brain).mean(axis=0) * 2.0
    np.testing.assert_allclose(found.centre_mm, truth, atol=4.0)  # The shading pulls the centre 3 mm.
    assert found.radius_mm == pytest.approx(np.cbrt(BRAIN_AXES_MM.prod()), rel=0.03)
    assert found.median == pytest.approx(1.0, abs=0.02)


def test_the_sphere_is_closed_even_and_turned_outward() -> None:
    sphere = icosphere(4)
    assert sphere.vertices.shape == (2562, 3)
    assert sphere.faces.shape == (5120, 3)
    a, b, c = (sphere.vertices[sphere.faces[:, corner]] for corner in range(3))
    # Divergence theorem: the volume under all faces is positive and just below the ball's.
    assert np.einsum("fi,fi->", a, np.cross(b, c)) / 6 == pytest.approx(4 * np.pi / 3, rel=0.004)
    assert np.count_nonzero(sphere.neighbours[:, 5] < 0) == 12
    directed = {(int(p), int(q)) for face in sphere.faces for p, q in zip(face, np.roll(face, -1), strict=True)}
    assert directed == {(q, p) for p, q in directed}
    assert len(directed) == 3 * len(sphere.faces)


def test_voxelising_a_sphere_gives_its_volume() -> None:
    from ChiSepPreprocessLib.masking._kernels import voxelise

    sphere = icosphere(4)
    size = np.array([1.0, 1.3, 2.0])
    mask = voxelise((sphere.vertices * 30.0 + 36.3) / size, sphere.faces, (73, 57, 37))
    centre = np.argwhere(mask).mean(axis=0) * size
    assert mask.sum() * size.prod() == pytest.approx(4 / 3 * np.pi * 30.0**3, rel=0.006)
    np.testing.assert_allclose(centre, 36.3, atol=0.05)


def philips_magnitude(folder: Path) -> tuple[Array, tuple[float, float, float]]:
    """Root of the sum of squares of both echoes; voxels along columns, rows and slices."""
    import pydicom

    squares: dict[float, Array] = {}
    for path in sorted(folder.glob("*.dcm")):
        instance = pydicom.dcmread(path)
        if "M" in instance.ImageType[3:4]:
            normal = np.cross(instance.ImageOrientationPatient[:3], instance.ImageOrientationPatient[3:])
            place = round(float(normal @ np.array(instance.ImagePositionPatient)), 2)
            square = instance.pixel_array.astype(np.float32).T ** 2
            squares[place] = squares.get(place, np.zeros_like(square)) + square
    return np.sqrt(np.stack([squares[place] for place in sorted(squares)], axis=2)), (3.0, 3.0, 3.0)


def test_the_brain_of_a_real_head_is_found(real_data: Path) -> None:
    magnitude, voxels = philips_magnitude(real_data / "philips_classic")
    assert magnitude.shape == (80, 80, 53)
    mask = brain_mask(magnitude, voxels)
    # Measured: 1600 ml; some of it lies below the base of the skull.
    assert 1500 < mask.sum() * 0.027 < 1700
    assert label(mask)[1] == 1
    border = np.ones_like(mask)
    border[1:-1, 1:-1, 1:] = False  # The scan ends below the top of this brain.
    assert not mask[border].any()
    # Bone and air next to the brain are dark: hardly any voxel of the mask is.
    assert np.mean(magnitude[mask] < 0.4 * np.median(magnitude[mask])) < 0.004


def test_the_mni_brain_is_found() -> None:
    datasets = pytest.importorskip("nilearn.datasets", reason="nilearn is not installed")
    image = np.asarray(datasets.load_mni152_template(resolution=2).dataobj, dtype=np.float32)
    truth = np.asarray(datasets.load_mni152_brain_mask(resolution=2).dataobj) > 0
    # Measured: 0.972; the atlas's mask has the fluid around the brain.
    assert dice(brain_mask(image, (2.0, 2.0, 2.0)), truth) > 0.969


def test_cancelling_stops_the_extraction() -> None:
    image, _ = head((59, 69, 57), (3.0, 3.0, 3.0), LAYERS)
    seen: list[float] = []

    def stop(status: Status) -> bool:
        seen.append(status.fraction)
        return len(seen) < 4

    with pytest.raises(CancelledError):
        brain_mask(image, (3.0, 3.0, 3.0), report=Reporter(stop))
    assert len(seen) == 4
    assert seen == sorted(seen)


@pytest.mark.parametrize("image", [np.zeros((9, 9, 9)), np.full((9, 9, 9), np.nan), np.ones((9, 9))])
def test_images_without_a_head_are_refused(image: Array) -> None:
    with pytest.raises(InputError, match="magnitude"):
        brain_mask(image, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("options", [{"fractional_intensity": 1.0}, {"gradient": 2.0}, {"iterations": 0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        BetOptions(**options)  # type: ignore[arg-type]
