"""Maps of the head turned in the scanner, brought to those of the first orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ChiSepPreprocessLib.artifacts import Image, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.registration.orientations import Orientation, Oriented, align_orientations

from .run_folder import read_run

#: What methods of several orientations may need of each.
_NEEDED = ("brain_mask", "field_mask", "local_field", "field_sigma", "r2prime", "r2star")


def read_orientations(folders: Sequence[Path], first: MapSet, report: Reporter | None = None) -> tuple[MapSet, ...]:
    """Read maps of further orientations and register each to the first one by its magnitude.

    Maps that lie on the first one's grid but have another B0 direction in their sidecars were registered before, and
    are taken as they are.

    Parameters
    ----------
    folders : sequence of Path
        Run folders, or folders of maps; one for each further orientation.
    first : MapSet
        With ``magnitude`` and ``brain_mask``.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    tuple of MapSet
        On the first one's grid, each with its own B0 direction in it.

    Raises
    ------
    InputError
        If a folder lacks maps, or one cannot be registered.
    """
    report, found = report or Reporter(), []
    for number, folder in enumerate(folders, 2):
        part = report.span((number - 2) / len(folders), (number - 1) / len(folders))
        found.append(_brought_to(first, read_run(folder), f"orientation {number}", part))
    return tuple(found)


def _brought_to(first: MapSet, other: MapSet, name: str, report: Reporter) -> MapSet:
    needed = replace(other, maps={key: one for key, one in other.items() if key in _NEEDED})
    if other.grid.matches(first.grid) and other.scan.b0_direction_ijk != first.scan.b0_direction_ijk:
        return needed
    for maps, which in ((first, "the first orientation"), (other, name)):
        if "magnitude" not in maps:
            raise InputError(which, "no magnitude", "maps with the magnitude, by which orientations are registered",
                             "Make them with 'chisep preprocess'.")  # fmt: skip
    head, turned = (Orientation(Image(one.array("magnitude"), one.grid), one.scan.b0_direction_ijk)
                    for one in (first, other))  # fmt: skip
    _, placed = align_orientations((head, turned), first.array("brain_mask"), report=report)
    placed.alignment.check_resemblance(name)
    return _with_warnings(placed, needed, name)


def _with_warnings(placed: Oriented, maps: MapSet, name: str) -> MapSet:
    """Maps on the first one's grid; the field says what the registration doubts."""
    moved = placed.maps_onto_first(maps)
    field = moved["local_field"]
    doubts = (f"{name}: {text}" for text in placed.alignment.warnings)
    return moved.including(replace(field, warnings=(*field.warnings, *doubts)))
