"""A subject seen on a scan's fine grid: properties, labels, brain and air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.progress import Reporter

from . import tissues
from .geometry import Matrix, Volume, for_each_slab
from .lesions import CONTRAST_PPB, PlacedLesion
from .options import PhantomOptions
from .shapes import Ellipsoid, Shape
from .structures import air_spaces, nuclei
from .subject import PROPERTIES, Subject, positions, resampled
from .tissues import TISSUES

_EDGE_MM = 0.6


@dataclass(frozen=True, eq=False)
class Patient:
    """A subject with the things that were drawn for it."""

    subject: Subject
    veins: list[Shape]
    lesions: list[PlacedLesion]
    options: PhantomOptions


@dataclass(frozen=True, eq=False)
class Rendering:
    """Matter on a fine grid: one array for each property, float32, all of the grid's shape."""

    grid: Grid
    chi_para: Volume
    chi_dia: Volume
    r2: Volume
    r1: Volume
    density: Volume
    labels: Volume
    brain: Volume
    air: Volume

    @property
    def properties(self) -> tuple[Volume, ...]:
        """In the order of :data:`ChiSepPhantoms.subject.PROPERTIES`."""
        return self.chi_para, self.chi_dia, self.r2, self.r1, self.density


def render(patient: Patient, grid: Grid, report: Reporter, motion: Matrix | None = None) -> Rendering:
    """Sample a patient on a grid.

    Parameters
    ----------
    patient : Patient
        Who is scanned.
    grid : Grid
        Fine grid.
    report : Reporter
        Progress.
    motion : ndarray, shape (4, 4), optional
        Where a point of the scanner was, in mm, before the head moved.
    """
    to_scanner = grid.affine if motion is None else motion @ grid.affine
    seen = _interpolated(patient.subject, grid, to_scanner, report)
    _paint_all(patient, seen, to_scanner)
    return seen


def _interpolated(subject: Subject, grid: Grid, to_scanner: Matrix, report: Reporter) -> Rendering:
    from ._kernels import sample_linear, sample_nearest

    to_index = np.linalg.inv(subject.affine) @ to_scanner
    values = np.empty((len(PROPERTIES), *grid.shape), dtype=np.float32)
    labels = np.empty(grid.shape, dtype=np.uint8)
    brain = np.empty(grid.shape, dtype=bool)

    def sample(slab: slice) -> None:
        found = np.empty((len(PROPERTIES) + 1, slab.stop - slab.start, *grid.shape[1:]), dtype=np.float32)
        sample_linear(subject.properties, to_index, slab.start, found)
        sample_nearest(subject.labels, to_index, slab.start, labels[slab])
        values[:, slab], brain[slab] = found[:-1], found[-1] > 0.5

    for_each_slab(sample, grid.shape[0], 16, "anatomy", report)
    air = np.zeros(grid.shape, dtype=bool)
    return Rendering(grid, **dict(zip(PROPERTIES, values, strict=True)), labels=labels, brain=brain, air=air)


@dataclass(frozen=True, eq=False)
class _Window:
    """Part of a grid: its slices, and its matrix from window indices to scanner mm."""

    slices: tuple[slice, slice, slice]
    affine: Matrix

    @property
    def shape(self) -> tuple[int, int, int]:
        i, j, k = (part.stop - part.start for part in self.slices)
        return i, j, k

    @classmethod
    def around(cls, low: Matrix, high: Matrix, grid: Grid, to_scanner: Matrix) -> _Window | None:
        """Around a box in scanner mm; ``None`` if the grid does not reach it."""
        corners = np.array([[x, y, z, 1.0] for x in (low[0], high[0]) for y in (low[1], high[1])
                            for z in (low[2], high[2])])  # fmt: skip
        index = (np.linalg.inv(to_scanner) @ corners.T)[:3]
        start = np.clip(np.floor(index.min(axis=1)).astype(int), 0, grid.shape)
        stop = np.clip(np.ceil(index.max(axis=1)).astype(int) + 1, 0, grid.shape)
        if np.any(stop <= start):
            return None
        affine = to_scanner.copy()
        affine[:3, 3] = to_scanner[:3] @ [*start, 1.0]
        i, j, k = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        return cls((i, j, k), affine)

    @classmethod
    def around_mni(cls, shape: Shape, subject: Subject, grid: Grid, to_scanner: Matrix) -> _Window | None:
        """Around a shape in MNI space."""
        low, high = shape.box()
        # Only the affine part is undone; the displacement is within a few mm.
        inverse = np.linalg.inv(subject.warp.matrix)
        reach = np.abs(subject.warp.displacement_mm).max() + 1.0
        centre, half = inverse @ (low + high) / 2, np.abs(inverse) @ (high - low) / 2 + reach
        return cls.around(centre - half, centre + half, grid, to_scanner)


def _paint_all(patient: Patient, seen: Rendering, to_scanner: Matrix) -> None:
    subject, options = patient.subject, patient.options
    for number, lesion in enumerate(patient.lesions):
        _paint_lesion(lesion, tissues.FIRST_LESION_LABEL + number, subject, seen, to_scanner, options)
    for name, shape in nuclei():
        _paint_tissue(name, shape, patient, seen, to_scanner)
    for shape in patient.veins:
        _paint_tissue("vein", shape, patient, seen, to_scanner)
    if options.air:
        for shape in air_spaces():
            _paint_air(shape, subject, seen, to_scanner)


def _blend(target: Volume, weight: Volume, value: Volume | float) -> None:
    target += weight * (value - target)


def _paint_tissue(name: str, shape: Shape, patient: Patient, seen: Rendering, to_scanner: Matrix) -> None:
    """Nucleus or vein: its values within the shape, sparing CSF around nuclei; texture is kept."""
    subject, one, b0 = patient.subject, TISSUES[name], patient.options.field_strength_t
    window = _Window.around_mni(shape, subject, seen.grid, to_scanner)
    if window is None:
        return
    mni = subject.warp.to_mni(window.affine, window.shape)
    weight = np.clip(shape.depth_mm(mni) / _EDGE_MM + 0.5, 0, 1)
    if name != "vein":
        _, csf = resampled(subject.tissues, subject.affine, window.affine, window.shape)
        weight *= np.clip(1.5 - 2 * csf, 0, 1)
    iron = subject.iron.get(name, 1.0)
    values = (
        one.chi_para * iron,
        one.chi_dia,
        one.r2 * tissues.r2_scale(b0),
        one.r1 * tissues.r1_scale(b0),
        one.density,
    )
    # A gentle gradient of iron along the nucleus, as in life.
    gradient = 1 + 0.004 * (mni[1] - shape.centre[1]) if isinstance(shape, Ellipsoid) else 1.0
    for number, (target, value) in enumerate(zip(seen.properties, values, strict=True)):
        _blend(target[window.slices], weight, value * gradient if number == 0 else value)
    seen.labels[window.slices][weight > 0.5] = one.label


def _paint_lesion(
    lesion: PlacedLesion, label: int, subject: Subject, seen: Rendering, to_scanner: Matrix, options: PhantomOptions
) -> None:
    """Shift both susceptibilities of the white matter and replace its other properties."""
    window = _Window.around(*lesion.box(), seen.grid, to_scanner)
    if window is None:
        return
    depth = lesion.depth_mm(positions(window.affine, window.shape))
    white, _ = resampled(subject.tissues, subject.affine, window.affine, window.shape)
    weight = np.clip(depth / _EDGE_MM + 0.5, 0, 1) * (white > 0.5)
    para, dia = (CONTRAST_PPB[grade] / 1e3 for grade in (lesion.kind.para, lesion.kind.dia))
    for target, shift in ((seen.chi_para, para * lesion.iron(depth)), (seen.chi_dia, dia)):
        target[window.slices] = np.maximum(target[window.slices] + weight * shift, 0)
    b0 = options.field_strength_t
    _blend(seen.r2[window.slices], weight, tissues.LESION_R2 * tissues.r2_scale(b0))
    _blend(seen.r1[window.slices], weight, tissues.LESION_R1 * tissues.r1_scale(b0))
    _blend(seen.density[window.slices], weight, tissues.LESION_DENSITY)
    seen.labels[window.slices][weight > 0.5] = label


def _paint_air(shape: Shape, subject: Subject, seen: Rendering, to_scanner: Matrix) -> None:
    """Air where the shape is and the brain is at least 2 mm away."""
    window = _Window.around_mni(shape, subject, seen.grid, to_scanner)
    if window is None:
        return
    depth = shape.depth_mm(subject.warp.to_mni(window.affine, window.shape))
    brain = resampled(subject.properties, subject.affine, window.affine, window.shape)[-1]
    # The smooth brain map falls from 0.5 to about 0.02 within 2 mm of the surface (Gaussian of 1 mm).
    air = (depth > 0) & (brain < 0.02)
    seen.air[window.slices] |= air
    seen.density[window.slices][air] = 0.0
    seen.labels[window.slices][air] = 0
