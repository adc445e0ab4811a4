"""One patient: the template, warped, filled with physical properties, on a plain grid in scanner space."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .geometry import WORKERS, Matrix, Volume, rotation
from .options import PhantomOptions
from .shapes import Points
from .template import Template, template
from .tissues import IRON_RICH, TISSUES, r1_scale, r2_scale

#: Properties of matter that the scans depend on, in this order.
PROPERTIES = ("chi_para", "chi_dia", "r2", "r1", "density")

_BOX_MM = ((-100.0, -124.0, -92.0), (100.0, 98.0, 104.0))
_WARP_MM = 4.0


@dataclass(frozen=True, eq=False)
class Warp:
    """Scanner mm → MNI mm: an affine part and a smooth displacement.

    Parameters
    ----------
    matrix : ndarray, shape (3, 3)
        Affine part.
    displacement_mm : ndarray, shape (X, Y, Z, 3)
        On a 4 mm grid over the box.
    """

    matrix: Matrix
    displacement_mm: Volume

    def to_mni(self, affine: Matrix, shape: tuple[int, ...]) -> Points:
        """MNI position of each voxel of a grid in scanner space."""
        own = np.diag([_WARP_MM, _WARP_MM, _WARP_MM, 1.0])
        own[:3, 3] = _BOX_MM[0]
        x, y, z = resampled(self.displacement_mm, own, affine, shape)
        linear = np.eye(4)
        linear[:3, :3] = self.matrix
        for shift, part in zip((x, y, z), positions(linear @ affine, shape), strict=True):
            shift += part
        return x, y, z


def positions(affine: Matrix, shape: tuple[int, ...]) -> Points:
    """Position of every voxel of a grid, mm."""
    axes = [axis.astype(np.float32) for axis in np.ogrid[tuple(slice(n) for n in shape)]]
    x, y, z = (np.asarray(sum(r * a for r, a in zip(row[:3], axes, strict=True)) + row[3])
               for row in affine[:3].astype(np.float32))  # fmt: skip
    return x, y, z


def resampled(volume: Volume, own: Matrix, affine: Matrix, shape: tuple[int, ...]) -> Volume:
    """Sample a volume (X, Y, Z, C) of matrix ``own`` on another grid; trilinear; (C, I, J, K)."""
    from ._kernels import sample_linear

    found = np.empty((volume.shape[3], *shape), dtype=np.float32)
    sample_linear(volume, np.linalg.inv(own) @ affine, 0, found)
    return found


def random_warp(rng: np.random.Generator) -> Warp:
    """Head size ±3 %, pose ±2°, and a displacement of 1.7 mm at 12 mm and 0.5 mm at 6 mm smoothness."""
    from scipy import ndimage

    matrix = rotation(tuple(rng.normal(0, 1.0, 3))) * (1 + rng.normal(0, 0.02, 3))
    shape = [int((high - low) / _WARP_MM) + 1 for low, high in zip(*_BOX_MM, strict=True)]
    displacement = np.zeros((*shape, 3), dtype=np.float32)
    for smooth_mm, size_mm in ((12.0, 1.7), (6.0, 0.5)):
        for axis in range(3):
            noise = ndimage.gaussian_filter(rng.standard_normal(shape), smooth_mm / _WARP_MM)
            displacement[..., axis] += noise * (size_mm / noise.std())
    return Warp(np.asarray(matrix), displacement)


@dataclass(frozen=True, eq=False)
class Subject:
    """A patient on a RAS grid without rotation.

    Parameters
    ----------
    properties : ndarray, shape (X, Y, Z, 6)
        :data:`PROPERTIES`, without nuclei, veins and lesions, at the scan's field strength; last, a smooth map of the
        brain, above 0.5 inside.
    tissues : ndarray, shape (X, Y, Z, 2)
        Fractions of white matter and of CSF.
    labels : ndarray of uint8, shape (X, Y, Z)
        Labels of :data:`ChiSepPhantoms.tissues.TISSUES`, without nuclei, veins and lesions.
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS mm.
    warp : Warp
        To MNI space.
    iron : mapping
        Factor on the iron of each nucleus.
    """

    properties: Volume
    tissues: Volume
    labels: Volume
    affine: Matrix
    warp: Warp
    iron: dict[str, float]

    @property
    def head_points_mm(self) -> Matrix:
        """Points of brain and, if there is one, scalp (N, 3), mm."""
        index = 3 * np.argwhere(self.labels[::3, ::3, ::3] > 0)
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])


def make_subject(options: PhantomOptions, rng: np.random.Generator) -> Subject:
    """Draw a subject."""
    warp = random_warp(rng)
    iron = {name: float(rng.uniform(0.85, 1.15)) for name in IRON_RICH}
    step_mm = next((step for limit, step in ((0.9, 1.0), (1.8, 1.5)) if options.fine_mm < limit), 2.0)
    affine, shape = _grid(step_mm)
    grey, white, csf, brain, outside_mm, myelin = _sampled(template(), warp.to_mni(affine, shape))
    texture = _Texture(rng, brain.shape, step_mm)
    outside_mm = outside_mm + texture(10.0, 0.8)
    fractions = np.stack([csf, grey, white])
    labels = _labels(fractions, brain, outside_mm, options.scalp)
    properties = _base_properties(fractions, labels, options.field_strength_t)
    # Texture: what a region's mean does not tell; myelin follows the T1-weighted brightness.
    properties[0] *= 1 + texture(1.5, 0.06)
    properties[1] *= 1 + texture(1.5, 0.05)
    properties[1] *= _myelination(myelin, white)
    properties[2] *= 1 + texture(2.0, 0.02)
    everything = np.ascontiguousarray(np.moveaxis(np.stack([*properties, brain]), 0, -1))
    return Subject(everything, np.stack([white, csf], axis=-1), labels, affine, warp, iron)


def _myelination(brightness: Volume, white: Volume) -> Volume:
    """Factor on χ_dia: white matter that is brighter in T1 has more myelin; the mean over white matter is 1."""
    factor = np.clip(1 + 3.0 * (brightness - 1), 0.6, 1.5)
    return np.asarray(1 + (factor / factor[white > 0.5].mean() - 1) * white)


def _grid(step_mm: float) -> tuple[Matrix, tuple[int, ...]]:
    affine = np.diag([step_mm, step_mm, step_mm, 1.0])
    affine[:3, 3] = _BOX_MM[0]
    return affine, tuple(int((high - low) / step_mm) + 1 for low, high in zip(*_BOX_MM, strict=True))


def _sampled(average: Template, mni: Points) -> list[Volume]:
    from scipy import ndimage

    index = np.stack([p - np.float32(origin) for p, origin in zip(mni, average.affine[:3, 3], strict=True)])
    maps = (average.grey, average.white, average.csf, average.brain, average.outside_mm, average.myelin)

    def sample(one: Volume) -> Volume:
        return np.asarray(ndimage.map_coordinates(one, index, order=1, mode="nearest", output=np.float32))

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(sample, maps))


@dataclass(frozen=True)
class _Texture:
    """Smooth noise: white noise convolved twice with a box."""

    rng: np.random.Generator
    shape: tuple[int, ...]
    step_mm: float

    def __call__(self, smooth_mm: float, size: float) -> Volume:
        """Noise of standard deviation ``size``."""
        from scipy import ndimage

        noise = self.rng.standard_normal(self.shape, dtype=np.float32)
        width = max(3, 2 * round(smooth_mm / self.step_mm) + 1)
        for _ in range(2):
            noise = ndimage.uniform_filter(noise, width)
        noise *= np.float32(size) / noise.std()
        return np.asarray(noise)


def _labels(fractions: Volume, brain: Volume, outside_mm: Volume, scalp: bool) -> Volume:
    """CSF, grey and white matter inside the brain; soft tissue, skull and scalp around it."""
    labels = np.zeros(brain.shape, dtype=np.uint8)
    if scalp:
        labels[outside_mm < 11.5] = TISSUES["scalp"].label
        labels[outside_mm < 6.0] = TISSUES["skull"].label
        labels[outside_mm < 0.0] = TISSUES["soft_tissue"].label
    inside = brain > 0.5
    csf, grey, white = fractions
    labels[inside] = (3 - (grey >= white) - 1 * ((csf > grey) & (csf > white)) * (1 + (white > grey)))[inside]
    return labels


def _values(name: str, field_strength_t: float) -> list[float]:
    one = TISSUES[name]
    scale = 1.0 if name == "csf" else r1_scale(field_strength_t)
    return [one.chi_para, one.chi_dia, one.r2 * r2_scale(field_strength_t), one.r1 * scale, one.density]


def _base_properties(fractions: Volume, labels: Volume, field_strength_t: float) -> Volume:
    """Mixture of the three tissues inside the brain, plain values around it."""
    names = ("csf", "grey_matter", "white_matter")
    table = np.array([_values(name, field_strength_t) for name in names], dtype=np.float32)
    properties = np.tensordot(table.T, fractions, axes=1)
    outer = np.zeros((TISSUES["soft_tissue"].label + 1, len(PROPERTIES)), dtype=np.float32)
    for name in ("scalp", "skull", "soft_tissue"):
        outer[TISSUES[name].label] = _values(name, field_strength_t)
    around = (labels == 0) | (labels >= TISSUES["scalp"].label)
    for values, one in zip(properties, outer.T, strict=True):
        values[around] = one[labels[around]]
    return np.asarray(properties, dtype=np.float32)
