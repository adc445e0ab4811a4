"""A folder of heads: found, held against the conventions, and read, before any training.

``NAME/{brain_mask,local_field,r2star,r2prime}.nii[.gz]`` are the maps as measured and
``NAME/truth/{chi_total,chi_para,chi_dia,r2prime}.nii[.gz]`` the labels, such as those of COSMOS and χ-sep-COSMOS, all
on one 1 mm grid with the axes of the training: to posterior, left to right, inferior to superior along B0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import ARTIFACTS, Grid, Map
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, read_mask, read_nifti
from ChiSepPreprocessLib.given import check_given
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import GAMMA_HZ_PER_T
from ChiSepPreprocessLib.sidecars import b0_direction
from ChiSepPreprocessLib.threads import thread_count

from ..networks.weights.weight_set import OUTPUTS, Role
from .options import DataOptions

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Measured maps that each training reads: inputs, and those whose constants belong to the network.
MEASURED: Mapping[Role, tuple[str, ...]] = {
    "qsmnet": ("local_field",),
    "r2primenet": ("r2star", "r2prime"),
    "chisepnet": ("local_field", "r2prime"),
}

#: Edge of a voxel in the training, and how much it may differ.
VOXEL_SIZE_MM, _SIZE_TOLERANCE = 1.0, 0.01

#: B0 may lie 0.5° off the third axis, where the networks are run too; the first axis may be 45° off posterior.
_ALONG_B0, _TO_POSTERIOR = float(np.cos(np.deg2rad(0.5))), float(np.cos(np.deg2rad(45.5)))

#: Median of |χ| in the brain, ppm: outside, the unit is another.
_CHI_RANGE_PPM = (2e-4, 1.0)

#: Zeros kept around the brain.
MARGIN_VOXELS = 8
_FEWEST = 2
_SUFFIXES = (".nii.gz", ".nii")
_TURN = ("The axes must run to posterior, left to right and inferior to superior, the third along B0: bring the maps "
         "onto such a grid first.")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Subject:
    """Maps of one head, of which the brain alone is kept: a quarter of the memory.

    Parameters
    ----------
    name : str
        Of its folder.
    grid : Grid
        The brain's box with a margin.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    measured, truth : mapping of artifact to ndarray of float32, shape (V,)
        Values of the brain's voxels in the artifacts' units.
    field_strength_t : float or None
        As the sidecars say, T.
    """

    name: str
    grid: Grid
    mask: Mask
    measured: Mapping[str, Values]
    truth: Mapping[str, Values]
    field_strength_t: float | None


def labels_of(role: Role) -> tuple[str, ...]:
    """Truth that a training reads; χ-sepnet also the QSM, whose constants scale its input."""
    return (*OUTPUTS[role], "chi_total") if role == "chisepnet" else OUTPUTS[role]


def find_subjects(folder: Path, role: Role, options: DataOptions) -> tuple[str, ...]:
    """Names of the subjects in a folder of training data, all of them complete.

    Parameters
    ----------
    folder : Path
        With one folder for each head; those that begin with a dot are left out.
    role : str
        Network to train.
    options : DataOptions

    Raises
    ------
    InputError
        If there is no such folder, a map is missing, or there are too few subjects.
    """
    if not folder.is_dir():
        raise InputError("training data", f"'{folder}', which is no folder", "a folder with one folder for each head")
    names = sorted(one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    missing = [f"{name}/{path}" for name in names for path in _paths(role, options) if not _file(folder / name / path)]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise InputError("training data", f"no {', '.join(missing[:5])}{more}", "these maps as .nii or .nii.gz",
                         "Make them, or move incomplete folders away.")  # fmt: skip
    if len(names) < _FEWEST + len(validation_names(names, options)):
        raise InputError("training data", f"{len(names)} subjects in {folder}", f"at least {_FEWEST} to train and 1 to "
                         "validate", "Label more heads, or simulate some.")  # fmt: skip
    return tuple(names)


def validation_names(names: tuple[str, ...] | list[str], options: DataOptions) -> tuple[str, ...]:
    """Names of the subjects that are not trained on.

    Raises
    ------
    InputError
        If a chosen one is not there.
    """
    if unknown := sorted(set(options.validation) - set(names)):
        raise InputError("subjects to validate", ", ".join(unknown), f"folders among {', '.join(names[:8])}")
    return tuple(options.validation or names[-options.validation_count :])


def _paths(role: Role, options: DataOptions) -> tuple[str, ...]:
    truth = () if role == "r2primenet" and options.r2prime_label == "measured" else labels_of(role)
    return ("brain_mask", *MEASURED[role], *(f"{options.truth_folder}/{name}" for name in truth))


def _file(stem: Path) -> Path | None:
    return next((one for end in _SUFFIXES if (one := stem.with_name(stem.name + end)).is_file()), None)


def read_subjects(
    folder: Path, names: tuple[str, ...], role: Role, options: DataOptions, report: Reporter
) -> Iterator[Subject]:
    """Read subjects in their order, several at a time, and check all that can be wrong with them.

    Raises
    ------
    InputError
        If a map is broken, on another grid than the mask, not in its unit or not finite, or the axes, voxels or
        direction of B0 are not those of the training.
    """
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(thread_count())
    try:
        reading = [pool.submit(_read, folder / name, role, options) for name in names]
        for number, (name, one) in enumerate(zip(names, reading, strict=True)):
            report("read", number / len(names), name)
            yield one.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(folder: Path, role: Role, options: DataOptions) -> Subject:
    mask, grid = read_mask(_existing(folder / "brain_mask"))
    notes = [_sidecar(folder / "brain_mask", "brain_mask")]
    _check_axes(folder.name, grid, notes[0])
    maps: dict[str, Values] = {}
    for path in _paths(role, options)[1:]:
        notes.append(_sidecar(folder / path, Path(path).name))
        maps[path] = _read_map(folder, path, grid, mask)
    box = bounding_box(mask, MARGIN_VOXELS)
    affine = grid.affine.copy()
    affine[:3, 3] += grid.affine[:3, :3] @ [one.start for one in box]
    cropped = np.ascontiguousarray(mask[box])
    truth = {name: maps.get(f"{options.truth_folder}/{name}", maps.get(name)) for name in labels_of(role)}
    return Subject(folder.name, Grid(cropped.shape, affine), cropped, {name: maps[name] for name in MEASURED[role]},
                   {name: one for name, one in truth.items() if one is not None},
                   _field_strength(folder.name, notes))  # fmt: skip


def _existing(stem: Path) -> Path:
    found = _file(stem)
    assert found is not None  # find_subjects has looked
    return found


def _read_map(folder: Path, path: str, grid: Grid, mask: Mask) -> Values:
    where, name = f"{folder.name}/{path}", Path(path).name
    data, own = read_nifti(_existing(folder / path))
    if not own.matches(grid):
        raise InputError(where, f"a grid of {own.shape} voxels" if own.shape != grid.shape else "another position",
                         f"the grid of the brain mask, {grid.shape}", "Register and resample it first.")  # fmt: skip
    try:
        one = Map(name=name, data=data.astype(np.float32, copy=False), grid=grid)
        inside = Map(name=name, data=one.data * mask, grid=grid)
        _check_unit(inside, mask)
    except InputError as error:
        raise InputError(f"{where} ({error.quantity})", error.got, error.expected, error.hint) from error
    return np.asarray(inside.data[mask])


def _check_unit(one: Map, mask: Mask) -> None:
    if not one.name.startswith("chi_"):
        check_given(one)
        return
    median = float(np.median(np.abs(one.data[mask])))
    low, high = _CHI_RANGE_PPM
    if median > high or (median < low and np.abs(one.data).max() < low):
        raise InputError(one.name, f"a median of {median:.3g} in the brain", f"ppm, {low:g} to {high:g}",
                         "Is it in ppb? Divide by 1000.")  # fmt: skip


def _sidecar(stem: Path, name: str) -> dict[str, Any]:
    """Content of the sidecar if there is one; of another map or unit it is refused."""
    path = stem.with_name(f"{stem.name}.json")
    if not path.is_file():
        return {}
    note = read_json(path)
    where = f"sidecar of {stem.parent.name}/{stem.name}"
    if note.get("artifact", name) != name or note.get("unit", ARTIFACTS[name].unit) != ARTIFACTS[name].unit:
        raise InputError(where, f"{note.get('artifact')} in {note.get('unit')}", f"{name} in {ARTIFACTS[name].unit}",
                         "Convert the map and correct its sidecar.")  # fmt: skip
    return note


def _check_axes(name: str, grid: Grid, note: Mapping[str, Any]) -> None:
    size_mm = grid.voxel_size_mm
    if not np.allclose(size_mm, VOXEL_SIZE_MM, rtol=_SIZE_TOLERANCE, atol=0):
        got = " × ".join(f"{one:.3g}" for one in size_mm)
        raise InputError(f"voxel size of {name}", f"{got} mm", "1 × 1 × 1 mm", "Resample the maps first.")
    told = note.get("b0_direction_ijk")
    b0 = grid.b0_direction_ijk if told is None else b0_direction(told)
    if abs(b0[2]) < _ALONG_B0:
        raise InputError(f"B0 of {name}", f"({b0[0]:.3f}, {b0[1]:.3f}, {b0[2]:.3f}) in voxel axes",
                         "(0, 0, 1), along the third axis", _TURN)  # fmt: skip
    axes = grid.directions
    if -axes[1, 0] < _TO_POSTERIOR or axes[0, 1] < _TO_POSTERIOR or axes[2, 2] < 0:
        code = "".join(_letter(axes[:, axis]) for axis in range(3))
        raise InputError(f"axes of {name}", f"{code} (the directions to which i, j and k grow)", "PRS", _TURN)


def _letter(direction: NDArray[np.float64]) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return ("RL", "AP", "SI")[axis][int(direction[axis] < 0)]


def _field_strength(name: str, notes: list[dict[str, Any]]) -> float | None:
    """In T, by the imaging frequency where it is told: "3 T" is 2.89 T on some scanners."""
    nominal_t, frequency_hz = (
        {float(one[key]) for one in notes if one.get(key) is not None}
        for key in ("field_strength_t", "imaging_frequency_hz")
    )
    if len(nominal_t) > 1 or len(frequency_hz) > 1:
        got = f"field strengths {sorted(nominal_t)} T, imaging frequencies {sorted(frequency_hz)} Hz"
        raise InputError(f"sidecars of {name}", got, "maps of one scan")
    if frequency_hz:
        return frequency_hz.pop() / GAMMA_HZ_PER_T
    return nominal_t.pop() if nominal_t else None
