"""Images grouped to volumes: by series, component and echo; slices in the order of their positions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..artifacts import Array, Grid
from ..errors import InputError
from .headers import Frame
from .roles import TILED
from .stack import Stack

#: Slices may be off the even spacing by this share of it.
SPACING_TOLERANCE = 0.02

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class DicomStack(Stack):
    """One volume of DICOM images, sorted along the slice normal."""

    frames: tuple[Frame, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows, slices."""
        return (*self.frames[0].shape, len(self.frames))

    def grid(self) -> Grid:
        """Grid from the positions of the slices."""
        return self._grid

    @cached_property
    def _grid(self) -> Grid:
        return grid_of(self.frames)

    def read(self) -> Array:
        """Values in the unit of the header's rescale; Philips' precise values but for phase."""
        from .pixels import read_frames_values

        return read_frames_values(self)


def stacks_of(frames: Iterable[Frame]) -> list[DicomStack]:
    """Group images to volumes; nothing is read and nothing is checked yet."""
    groups: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        header = frame.header
        time = header.echo_time_s
        echo = header.echo_number if time is None else round(time, 6)
        groups[header.series, header.role, header.component, echo].append(frame)
    volumes = (volume for group in groups.values() for volume in _by_coil(group))
    return [DicomStack(volume[0].header, tuple(sorted(volume, key=_height))) for volume in volumes]


def _by_coil(frames: list[Frame]) -> list[list[Frame]]:
    """Images of one echo, apart for each coil if every place repeats once for each coil, else together."""
    coils: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        coils[frame.header.coil].append(frame)
    if len(coils) == 1:
        return [frames]
    places = {round(_height(frame), 3) for frame in frames}
    whole = all(len(images) == len(places) for images in coils.values())
    return list(coils.values()) if whole else [frames]


def _normal(frame: Frame) -> np.ndarray:
    return np.asarray(np.cross(frame.orientation[:3], frame.orientation[3:]))


def _height(frame: Frame) -> float:
    """Position along the slice normal, mm."""
    height = float(_normal(frame) @ frame.position)
    return height if np.isfinite(height) else 0.0


def grid_of(frames: tuple[Frame, ...]) -> Grid:
    """Grid of sorted slices: i along a row, j down a column, k along the positions.

    Raises
    ------
    InputError
        If the slices differ in size or orientation, one is missing or doubled, or geometry is absent.
    """
    first = frames[0]
    _check_not_tiled(first)
    _check_alike(frames)
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * first.spacing_mm[1]
    affine[:3, 1] = first.orientation[3:] * first.spacing_mm[0]
    affine[:3, 2] = _slice_step(frames)
    affine[:3, 3] = first.position
    return Grid((*first.shape, len(frames)), _LPS_TO_RAS @ affine)


def _check_not_tiled(frame: Frame) -> None:
    tiled = TILED & set(frame.header.facts.image_type)
    if tiled:
        raise InputError("DICOM series", f"{' and '.join(sorted(tiled))} images, which tile many slices into one",
                         "one image for each slice, whose place its own header tells",
                         "Export the series without tiling (Siemens: as enhanced DICOM, or mosaic switched off), or "
                         "convert it with dcm2niix and give the NIfTI files with their sidecars.")  # fmt: skip


def _check_alike(frames: tuple[Frame, ...]) -> None:
    first = frames[0]
    if not all(np.all(np.isfinite([*one.position, *one.orientation, *one.spacing_mm])) for one in frames):
        raise InputError("DICOM geometry", "images without position, orientation or pixel spacing",
                         "all three in each header", "Export the original images, not screenshots.")  # fmt: skip
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise InputError("image size", f"{len(sizes)} different sizes in one volume: {_listed(sizes)}", "one size")
    if any(np.abs(frame.orientation - first.orientation).max() > 1e-3 for frame in frames):
        raise InputError("slice orientation", "slices of different orientations in one volume", "parallel slices",
                         "A localizer is no 3D volume; choose another series.")  # fmt: skip


def _listed(sizes: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{columns}×{rows}" for columns, rows in sorted(sizes))


def _slice_step(frames: tuple[Frame, ...]) -> np.ndarray:
    """Vector from a slice to the next, LPS mm, from the outermost positions."""
    first = frames[0]
    if len(frames) == 1:
        return _normal(first) * first.thickness_mm
    _check_spacing(np.array([_height(frame) for frame in frames]))
    step = (frames[-1].position - first.position) / (len(frames) - 1)
    line = first.position + np.outer(np.arange(len(frames)), step)
    offset_mm = np.linalg.norm([frame.position for frame in frames] - line, axis=1)
    if offset_mm.max() > SPACING_TOLERANCE * np.linalg.norm(step) * 2:
        raise InputError("slice positions", f"slices up to {offset_mm.max():.3g} mm off a straight line",
                         "evenly spaced slices")  # fmt: skip
    return np.asarray(step)


def _check_spacing(heights_mm: np.ndarray) -> None:
    steps = np.diff(heights_mm)
    usual = float(np.median(steps))
    if steps.min() < 1e-3:
        raise InputError(
            "slice positions",
            f"{int((steps < 1e-3).sum())} slice positions with more than one image",
            "one image for each slice, echo and component",
            "Choose one series, with coils combined, without repeated measurements or copies of files.",
        )
    uneven = np.flatnonzero(np.abs(steps - usual) > SPACING_TOLERANCE * usual)
    if uneven.size:
        low, high = heights_mm[uneven[0]], heights_mm[uneven[0] + 1]
        raise InputError(
            "slice positions",
            f"a gap of {high - low:.2f} mm between the slices at {low:.2f} and {high:.2f} mm along the slice normal",
            f"even steps of {usual:.2f} mm",
            "A slice is missing there; export the series again.",
        )
