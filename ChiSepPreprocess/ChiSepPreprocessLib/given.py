"""Maps that the user brings: read, and held against their unit, each other and the measured decay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .artifacts import ARTIFACTS, Acquisition, Array, Grid, Kind, Map
from .dicom.bends import likeness
from .errors import InputError
from .files import read_mask, read_nifti
from .geometry.resampling import resample
from .masking.mask import MaskOptions, refine
from .quantities import ppm_to_hz
from .segmentation import is_segmentation, read_segmentation


@dataclass(frozen=True)
class _Plausible:
    """Ranges of the median absolute value of a map's nonzero voxels, in its unit.

    Outside ``low`` to ``high`` the unit is wrong and the map is refused; outside ``usual`` it is doubted.
    """

    low: float
    high: float
    usual: tuple[float, float]
    hint: str
    centred: bool = False  # a constant means nothing: the median is of the distance from the map's own median


_RATE = "Is it in 1/ms, or a relaxation time? Convert it to a rate in 1/s."
_FIELD = "Is it in Hz, rad or rad/s? Convert it to ppm of the imaging frequency."
_LOCAL = f"{_FIELD} Is the background still in it? Hand it in as total_field then."

#: Marks a mask that may lie on a grid of its own.
_SEGMENTATION = {"segmentation": "nearest voxel"}

#: What may be handed in, with the ranges that tell wrong units; masks have none. Medians in the brain: R2* 17 to 35,
#: R2 10 to 20 and R2′ 4 to 15 1/s from 3 to 7 T; total field 0.03 to 0.2 ppm, local field 0.002 to 0.008 ppm.
_GIVEABLE: Mapping[str, _Plausible | None] = {
    "brain_mask": None,
    "field_mask": None,
    "csf_mask": None,
    "total_field": _Plausible(1e-4, 2.0, (1e-3, 0.5), _FIELD, centred=True),
    "local_field": _Plausible(1e-5, 0.1, (1e-4, 0.015), _LOCAL),
    "b1": _Plausible(0.2, 2.0, (0.5, 1.5), "Is it in percent or degrees? Divide by the nominal angle."),
    "r2star": _Plausible(1.0, 300.0, (5.0, 45.0), _RATE),
    "r2": _Plausible(1.0, 200.0, (4.0, 45.0), _RATE),
    "r2prime": _Plausible(0.05, 300.0, (1.0, 45.0), _RATE),
}

#: R2* − R2 is negative in a few percent of the brain by noise; the two are swapped where it is in most of it.
_SWAPPED = 0.5
#: Rank correlation with the measured decay below which a map called R2* is none; one of T2* is near −1.
_AGAINST_DECAY = -0.2
#: Of so many voxels the decay is looked at.
_SAMPLES = 50_000
#: Correlation of a field's bends with those of the phase: 0.5 (noise) to 1 for its own field, below 0.2 for another.
_FOLLOWS_PHASE = 0.3
#: Phase over what a field predicts: noise in the field lowers it, a wrong unit or frequency puts it far off.
_USUAL_FACTOR = (0.55, 1.8)


def read_given_map(name: str, path: Path) -> Map:
    """Read a map that is used instead of being computed, and check it.

    Parameters
    ----------
    name : str
        Artifact name; of the maps that preprocessing makes, or a mask.
    path : Path
        NIfTI file in the artifact's unit; for masks also a segmentation that Slicer saved.

    Returns
    -------
    Map
        With the warnings of :func:`check_given`.

    Raises
    ------
    InputError
        If the name is none of them, the file cannot be read, or the values cannot be in the artifact's unit.
    """
    if name not in _GIVEABLE:
        raise InputError("--map", f"'{name}'", f"one of {', '.join(_GIVEABLE)}", "Only these can be handed in.")
    is_mask = ARTIFACTS[name].kind is Kind.MASK
    if is_mask and is_segmentation(path):
        data, grid = read_segmentation(path)
        return Map(name=name, data=data, grid=grid, options=_SEGMENTATION)
    data, grid = read_mask(path) if is_mask else read_nifti(path)
    one = Map(name=name, data=data, grid=grid)
    return replace(one, warnings=check_given(one))


def on_grid(one: Map, grid: Grid) -> Map:
    """Bring a segmentation onto the GRE's grid by its nearest voxels; other maps stay as they are.

    Raises
    ------
    InputError
        If it lies elsewhere.
    """
    if one.options != _SEGMENTATION or one.grid.matches(grid):
        return one
    moved = resample(one.data, one.grid, grid)
    if not moved.any():
        raise InputError("segmentation", "a segment outside the GRE", "the brain of this scan",
                         "Draw it on an image of the same session.")  # fmt: skip
    return replace(one, data=moved, grid=grid)


def check_given(one: Map) -> tuple[str, ...]:
    """Hold one map against what its artifact can be; shape, NaN and negative values were refused by :class:`Map`.

    Parameters
    ----------
    one : Map
        As handed in.

    Returns
    -------
    tuple of str
        Doubts that the user should resolve.

    Raises
    ------
    InputError
        If a mask is empty, or a map is constant or not in the artifact's unit.
    """
    if one.spec.kind is Kind.MASK:
        return _check_mask(one)
    plausible = _GIVEABLE.get(one.name)
    return () if plausible is None else _check_values(one, plausible)


def eroded_mask(mask: Map, erosion_mm: float) -> Map:
    """Take the asked-for rim off a given mask; holes in it are the user's own, and stay.

    Parameters
    ----------
    mask : Map
        Of the brain.
    erosion_mm : float
        As in :class:`~.masking.mask.MaskOptions`, mm; 0 leaves the mask alone.

    Raises
    ------
    InputError
        If nothing is left.
    """
    if erosion_mm == 0:
        return mask
    only = MaskOptions(fill_holes=False, erosion_mm=erosion_mm)
    eroded = refine(mask.data, mask.grid.voxel_size_mm, only)
    return replace(mask, data=eroded, options={**mask.options, "erosion_mm": erosion_mm})


def check_given_maps(given: Mapping[str, Map], acquisition: Acquisition | None = None) -> dict[str, Map]:
    """Check maps alone, against each other and against the measured decay.

    Parameters
    ----------
    given : mapping of str to Map
        By artifact name, on the GRE's grid.
    acquisition : Acquisition, optional
        What was measured.

    Returns
    -------
    dict of str to Map
        The same maps, with their doubts among the warnings.

    Raises
    ------
    InputError
        As :func:`check_given`; and if R2 and R2* are swapped, or R2* does not follow the measured decay.
    """
    doubts = {name: check_given(one) for name, one in given.items()}
    if "r2" in given and "r2star" in given:
        _check_not_swapped(given["r2"].data, given["r2star"].data)
    if "r2star" in given and acquisition is not None:
        _check_follows_decay(given["r2star"], acquisition)
    for name in ("total_field", "local_field"):
        if name in given and acquisition is not None:
            doubts[name] = (*doubts[name], *_doubt_field(given[name], acquisition))
    return {
        name: replace(one, warnings=tuple(dict.fromkeys((*one.warnings, *doubts[name])))) for name, one in given.items()
    }


def _check_mask(one: Map) -> tuple[str, ...]:
    if not one.data.any():
        raise InputError(one.name, "no voxel inside", "a mask with voxels inside",
                         "Check that it is the mask of this scan.")  # fmt: skip
    if one.data.all():
        return (f"The given {one.name} holds every voxel of the image, air too if there is any. Check it.",)
    return ()


def _check_values(one: Map, plausible: _Plausible) -> tuple[str, ...]:
    values = one.data[one.data != 0]
    if plausible.centred and values.size:
        values = values - np.median(values)
    median, unit = (float(np.median(np.abs(values))) if values.size else 0.0), one.spec.unit
    if values.size and values.min() == values.max():
        return _constant(one)
    found = f"a median of {median:.4g} in its nonzero voxels"
    if not plausible.low <= median <= plausible.high:
        raise InputError(one.name, found, f"values in {unit}, with a median from {plausible.low:g} to "
                         f"{plausible.high:g} {unit}", plausible.hint)  # fmt: skip
    low, high = plausible.usual
    if low <= median <= high:
        return ()
    return (f"The given {one.name} has {found}; usual is {low:g} to {high:g} {unit}. {plausible.hint}",)


def _constant(one: Map) -> tuple[str, ...]:
    if one.name != "r2":
        raise InputError(one.name, "the same value in all its nonzero voxels", "a map",
                         "Check that it is the right file.")  # fmt: skip
    return ("The given r2 is the same everywhere: R2′ and the χ maps hold a pseudo-R2, not a measured one.",)


def _check_not_swapped(r2: Array, r2star: Array) -> None:
    both = (r2 > 0) & (r2star > 0)
    share = float(np.mean(r2[both] > r2star[both])) if both.any() else 0.0
    if share > _SWAPPED:
        raise InputError("r2 and r2star", f"R2 above R2* in {share:.0%} of the voxels",
                         "R2* above R2 but for noise", "Are they swapped, or is one in another unit?")  # fmt: skip


def _check_follows_decay(one: Map, acquisition: Acquisition) -> None:
    first, last = acquisition.gre_magnitude[..., 0], acquisition.gre_magnitude[..., -1]
    if one.data.shape != first.shape or len(acquisition.scan.echo_times_s) < 2:
        return  # grids are compared by MapSet, which says more
    inside = np.flatnonzero((one.data > 0) & (first > 0) & (last > 0))
    chosen = inside[:: max(inside.size // _SAMPLES, 1)]
    if chosen.size < 100:
        return
    decay = np.log(first.ravel()[chosen] / last.ravel()[chosen])
    agreement = float(np.corrcoef(_ranks(one.data.ravel()[chosen]), _ranks(decay))[0, 1])
    if agreement < _AGAINST_DECAY:
        raise InputError("r2star", f"large values where the echoes decay slowly (rank correlation {agreement:.2f})",
                         "large values where they decay fast",
                         "Is it T2*? Convert it to a rate in 1/s; is it of another scan?")  # fmt: skip


def _doubt_field(one: Map, acquisition: Acquisition) -> tuple[str, ...]:
    """Whether the measured phase bends as the field says; constants and the field of outer sources play no role."""
    scan = acquisition.scan
    if one.data.shape != acquisition.grid.shape:
        return ()  # grids are compared by MapSet, which says more
    field_hz = ppm_to_hz(one.data.astype(np.float32, copy=False), scan.reference_frequency_hz)
    found = likeness(acquisition.gre_magnitude, acquisition.gre_phase, scan.echo_times_s,
                     acquisition.grid.voxel_size_mm, field_hz)  # fmt: skip
    if found is None:
        return ()
    measured = f"correlation {found.correlation:.2f}"
    if found.correlation <= -_FOLLOWS_PHASE:
        return (f"The given {one.name} has the opposite sign of the measured phase ({measured}): with the opposite "
                "sign it would agree. Reverse the field, or the phase if the field is right "
                "(--flip-phase-sign).",)  # fmt: skip
    if found.correlation < _FOLLOWS_PHASE:
        return (f"The given {one.name} does not predict the measured phase ({measured}). Is it of another scan, "
                "moved or flipped?",)  # fmt: skip
    low, high = _USUAL_FACTOR
    if low <= found.factor <= high:
        return ()
    return (f"The measured phase is {found.factor:.2g} times what the given {one.name} predicts. Is it in ppm of the "
            "imaging frequency, and are the echo times right?",)  # fmt: skip


def _ranks(values: Array) -> Array:
    ranks = np.empty(values.size)
    ranks[np.argsort(values)] = np.arange(values.size)
    return ranks
