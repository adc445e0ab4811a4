"""A small patient with lesions, on oblique grids of odd size, with the DICOM series that its maps were made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.grading import grade_lesions
from ChiSeparationLib.lesions.reading import GRADED_MAPS, Judgement, Lesion, Question, Reading
from ChiSeparationLib.report.lesion_study import LesionStudy
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from dicom_writer_for_tests import Slab, Style, write_volume

HOSTILE = """<script>alert("x")</script>|:; =1+1 {{ 7 * 7 }} $x^2$ \\n 病変 ' & ../../x"""

#: Voxels of 0.8 × 1.1 × 2.3 mm, double-oblique, 21 × 17 × 11.
SLAB = Slab(shape=(21, 17, 11))
ECHO_TIMES_MS = (5.0, 10.0)


def grid_of(slab: Slab) -> Grid:
    """Grid of a slab by four of its voxels."""
    origin = slab.ras(0, 0, 0)
    affine = np.eye(4)
    for axis, index in enumerate(((1, 0, 0), (0, 1, 0), (0, 0, 1))):
        affine[:3, axis] = slab.ras(*index) - origin
    affine[:3, 3] = origin
    return Grid(slab.shape, affine)


def native_grid() -> Grid:
    """The source's own."""
    return grid_of(SLAB)


def left_handed_grid() -> Grid:
    """The same places with the first axis reversed."""
    native = grid_of(SLAB)
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = SLAB.shape[0] - 1
    return Grid(SLAB.shape, native.affine @ flip)


def resampled_grid() -> Grid:
    """Turned against the source, with other voxels, inside it."""
    native = grid_of(SLAB)
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ native.directions @ np.diag((0.9, 0.7, 1.3))
    shape = np.array((9, 11, 13))
    centre = native.affine @ [*(np.array(SLAB.shape) - 1) / 2, 1.0]
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid(tuple(shape.tolist()), affine)


GRIDS = {"native": native_grid, "left-handed": left_handed_grid, "resampled": resampled_grid}


def head(grid: Grid, seed: int = 0) -> NDArray[np.float64]:
    """A magnitude that varies smoothly over the scanner's space, the same on every grid; another head by its seed."""
    random = np.random.default_rng(seed)
    indices = np.stack(np.meshgrid(*(np.arange(size) for size in grid.shape), indexing="ij"), axis=-1)
    ras = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    waves = [np.cos(ras @ random.normal(0.0, 0.25, 3) + random.uniform(0, 6)) for _ in range(12)]
    return np.asarray(1000.0 + 150.0 * np.sum(waves, axis=0)).clip(50.0)


def make_maps(grid: Grid, *, seed: int = 0, contrast_ppb: NDArray[Any] | float = 0.0) -> MapSet:
    """χ maps of noise, with masks and the magnitude."""
    random = np.random.default_rng(seed)
    para = 20.0 + random.normal(0.0, 4.0, grid.shape) + contrast_ppb
    dia = 28.0 + random.normal(0.0, 4.0, grid.shape) - contrast_ppb
    full = np.ones(grid.shape, dtype=bool)
    arrays: dict[str, NDArray[Any]] = {
        "magnitude": head(grid, seed).astype(np.float32), "brain_mask": full, "field_mask": full,
        "chi_total": ((para - dia) / 1e3).astype(np.float32), "chi_para": (para / 1e3).astype(np.float32),
        "chi_dia": (dia / 1e3).astype(np.float32),
    }  # fmt: skip
    scan = ScanParameters(echo_times_s=(0.005, 0.010), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
    return MapSet(grid, scan, {name: Map(name=name, data=data, grid=grid, method="closed-form")
                               for name, data in arrays.items()})  # fmt: skip


def make_labels(grid: Grid) -> NDArray[np.int32]:
    """Three lesions with gaps in their numbers, one of a single voxel at a corner."""
    labels = np.zeros(grid.shape, dtype=np.int32)
    labels[2:5, 3:6, 2:5], labels[6:8, 7:9, 5:9], labels[-1, -1, -1] = 2, 5, 300
    return labels


def make_study(grid: Grid | None = None, *, reading: Reading | None = None, lesions: bool = True) -> LesionStudy:
    """The patient, ungraded unless a reading is given."""
    grid = grid or native_grid()
    labels = make_labels(grid) if lesions else np.zeros(grid.shape, dtype=np.int32)
    maps = {"closed-form": make_maps(grid, contrast_ppb=15.0 * (labels == 2))}
    one = Map(name="lesions", data=labels, grid=grid, method="drawn by hand")
    tables = {name: grade_lesions(each, one) for name, each in maps.items()}
    return LesionStudy(maps=maps, lesions=one, tables=tables, reading=reading or Reading(),
                       images={"magnitude": maps["closed-form"].array("magnitude")},
                       provenance={"methods": {"chi_para": "closed-form"}})  # fmt: skip


def graded(study: LesionStudy, *readers: str, comment: str = "", pipeline: str = "closed-form") -> LesionStudy:
    """Every lesion graded on both maps; the second reader grades lesion 5 differently."""
    reading = study.reading
    for number, reader in enumerate(readers):
        for lesion in reading.lesions:
            for name in GRADED_MAPS:
                differs = number and lesion.lesion_id == "Lesion_5"
                grade = Grade.ISO if differs else Grade.HYPER if name == "chi_para" else Grade.SUBTLE_HYPO
                question = Question(lesion.lesion_id, name, pipeline, reader)
                reading = reading.said(Judgement(question=question, grade=grade, confidence=2, comment=comment,
                                                 time="2026-01-02T03:04:05+00:00"))  # fmt: skip
    return replace(study, reading=reading)


def named(study: LesionStudy, text: str) -> LesionStudy:
    """Every lesion's name and place, and the patient's pseudonym, set to a text."""
    lesions: Sequence[Lesion] = [replace(one, name=text, place=text) for one in study.reading.lesions]
    return replace(study, reading=replace(study.reading, patient=text, lesions=tuple(lesions)))


def write_source(folder: Path, *, seed: int = 0, style: Style | None = None) -> Path:
    """The magnitude series of the patient's scan, two echoes."""
    volume = head(grid_of(SLAB), seed)
    for time, share in zip(ECHO_TIMES_MS, (0.8, 0.6), strict=True):
        write_volume(folder, style or Style(), SLAB, time, np.rint(share * volume).astype(np.uint16))
    return folder
