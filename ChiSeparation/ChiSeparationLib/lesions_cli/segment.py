"""``chisep lesions segment``: lesions from FLAIR, or another tool's mask, as a numbered label map with a list."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..arguments import AsJson, JsonLines
from ..console import Console

if TYPE_CHECKING:
    from ChiSepPreprocessLib.artifacts import Array, Grid, Map

    from ..lesions.reading import Lesion

_COLUMNS = ("lesion_id", "place", "volume_mm3", "centroid_r_mm", "centroid_a_mm", "centroid_s_mm")


def segment_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for lesions.nii.gz and lesions.csv.")],
    flair: Annotated[Path, typer.Option(help="FLAIR (NIfTI), brain-extracted unless --brain-mask is given.")],
    brain_mask: Annotated[Path | None, typer.Option(help="Brain mask (NIfTI) in the FLAIR's space.")] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="Number and list these lesions instead: NIfTI, .seg.nrrd of Slicer or DICOM SEG."),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Of --mask, if it is a probability map.")] = None,
    minimum_volume_mm3: Annotated[float, typer.Option(help="Lesions must exceed this volume.")] = 20.0,
    progress_json: JsonLines = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Find the lesions in a FLAIR, or take another tool's: one number for each, with place and volume."""
    if threshold is not None and mask is None:
        raise InputError("--threshold", "no --mask", "both, of another tool's probability map")
    with Console(progress_json) as console:
        found, places, statistics = (
            _segmented(flair, brain_mask, minimum_volume_mm3, Reporter(console.progress))
            if mask is None
            else _imported(flair, brain_mask, mask, threshold, minimum_volume_mm3)
        )
        for text in found.warnings:
            console.warning(text)
    lesions = _listed(found, places)
    _write(output, found, lesions, statistics)
    if progress_json:
        console.folder(output, ("lesions",))
        return
    Console.show(_json(lesions, found, statistics, output), lambda: _lines(lesions, output), as_json=as_json)


def _segmented(
    flair: Path, brain_mask: Path | None, minimum_volume_mm3: float, report: Reporter
) -> tuple[Map, Mapping[int, str], Mapping[str, float]]:
    from ChiSepPreprocessLib.artifacts import Image

    from ..lesions.naming import name_places
    from ..lesions.segmentation.options import SegmentationOptions
    from ..lesions.segmentation.segment import segment_lesions

    data, grid = _read_flair(flair)
    options = SegmentationOptions(minimum_volume_mm3=minimum_volume_mm3)
    found = segment_lesions(Image(data, grid), _read_brain(brain_mask, grid), options=options, report=report)
    lesions = found.labelled.lesions
    return lesions, name_places(lesions.data, grid, found.brain, found.fluid), found.statistics


def _imported(
    flair: Path, brain_mask: Path | None, mask: Path, threshold: float | None, minimum_volume_mm3: float
) -> tuple[Map, Mapping[int, str], Mapping[str, float]]:
    from ..lesions.importing import import_lesions
    from ..lesions.naming import name_places

    _, grid = _read_flair(flair)
    brain = _read_brain(brain_mask, grid)
    found = import_lesions(mask, grid, threshold=threshold, minimum_volume_mm3=minimum_volume_mm3,
                           masks={} if brain is None else {"brain mask": brain})  # fmt: skip
    lesions = found.labelled.lesions
    return lesions, {} if brain is None else name_places(lesions.data, grid, brain), {}


def _read_flair(path: Path) -> tuple[Array, Grid]:
    from ChiSepPreprocessLib.artifacts import check_volume
    from ChiSepPreprocessLib.files import read_nifti

    data, grid = read_nifti(path)
    check_volume("FLAIR", data, grid.shape)
    return data, grid


def _read_brain(path: Path | None, grid: Grid) -> Array | None:
    """On the FLAIR's grid, by the nearest voxels where its own is another."""
    from ChiSepPreprocessLib.files import read_mask
    from ChiSepPreprocessLib.geometry.resampling import resample

    if path is None:
        return None
    mask, own = read_mask(path)
    moved = mask if own.matches(grid) else resample(mask, own, grid, nearest=True)
    if mask.any() and not moved.any():
        raise InputError("brain mask", "no voxel of it in the FLAIR", "the brain in the same scanner's space",
                         "Is it of another session? Register it to the FLAIR first.")  # fmt: skip
    return moved


def _listed(found: Map, places: Mapping[int, str]) -> list[Lesion]:
    """Identities with place, volume and centroid, by number."""
    from ..lesions.identities import follow_edits

    edits = follow_edits(found.data * 0, found.data, [], grid=found.grid)
    return [replace(one, place=places.get(label, "")) for label, one in edits.lesions.items()]


def _write(folder: Path, found: Map, lesions: list[Lesion], statistics: Mapping[str, float]) -> None:
    """Label map, sidecar and list; there is no gradient echo, so the sidecar states no scan."""
    from ChiSepPreprocessLib import __version__
    from ChiSepPreprocessLib.files import write_json, write_nifti, writing

    write_nifti(folder / "lesions.nii.gz", found.data, found.grid)
    with writing(folder / "lesions.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(_row(one) for one in lesions)
    write_json(folder / "lesions.json", {
        "artifact": found.name, "unit": found.spec.unit, "method": found.method, "options": dict(found.options),
        "statistics": dict(statistics), "warnings": list(found.warnings), "version": __version__,
    })  # fmt: skip


def _row(one: Lesion) -> list[Any]:
    return [one.lesion_id, one.place, round(one.volume_mm3, 3), *(round(x, 2) for x in one.centroid_ras_mm)]


def _json(lesions: list[Lesion], found: Map, statistics: Mapping[str, float], output: Path) -> dict[str, Any]:
    return {
        "output": str(output), "method": found.method, "options": dict(found.options), "statistics": dict(statistics),
        "warnings": list(found.warnings), "lesions": [dict(zip(_COLUMNS, _row(one), strict=True)) for one in lesions],
    }  # fmt: skip


def _lines(lesions: list[Lesion], output: Path) -> Iterator[str]:
    total = sum(one.volume_mm3 for one in lesions)
    yield f"{output}: {len(lesions)} lesions, {total / 1e3:.2f} ml"
    for one in lesions:
        yield f"  {one.lesion_id}: {one.volume_mm3:.0f} mm³, {one.place or 'place unknown'}"
