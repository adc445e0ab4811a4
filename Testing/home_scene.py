"""What the tests of the home page share: a head with its maps, and what the page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ChiSepPreprocessLib.artifacts import Grid, Image, Map, ScanParameters
from ChiSepPreprocessLib.files import write_map, write_nifti
from ChiSepPreprocessLib.scene.nodes import add_image, add_map

#: About a head, so that places can be estimated from the mask.
GRID = Grid((36, 44, 36), np.array([[4.0, 0, 0, -70], [0, 4.0, 0, -104], [0, 0, 4.0, -64], [0, 0, 0, 1]]))
SHOWN = ("flair", "chi_para", "chi_dia", "chi_total")


def head() -> np.ndarray[Any, Any]:
    """Mask of an ellipsoid of the size of a brain."""
    places = np.indices(GRID.shape) - (np.array(GRID.shape)[:, None, None, None] - 1) / 2
    radii = np.array([17.0, 21.0, 17.0])[:, None, None, None]
    return np.asarray(((places / radii) ** 2).sum(axis=0) < 1.0)


def maps() -> list[Map]:
    """Mask, R2*, field and χ maps of the ellipsoid."""
    inside = head()
    values = {"r2star": 20.0, "local_field": 0.01, "chi_para": 0.05, "chi_dia": 0.02, "chi_total": 0.03}
    real = [
        Map(name=name, data=(value * inside).astype(np.float32), grid=GRID, method="closed-form")
        for name, value in values.items()
    ]
    return [Map(name="brain_mask", data=inside, grid=GRID), *real]


def add_everything(scene: Any) -> dict[str, Any]:
    """Add maps and FLAIR to a scene, as after a run."""
    nodes = {one.name: add_map(scene, one) for one in maps()}
    return {**nodes, "flair": add_image(scene, "flair", Image(head().astype(np.float32), GRID))}


def headings(panel: Any) -> list[str]:
    """States of the four steps, in words."""
    ui = panel.ui
    return [one.text.split(": ")[1] for one in (ui.loadButton, ui.mapsButton, ui.chiButton, ui.viewButton)]


def open_steps(panel: Any) -> list[int]:
    """Numbers of the steps that are unfolded."""
    ui = panel.ui
    every = (ui.loadButton, ui.mapsButton, ui.chiButton, ui.viewButton)
    return [number for number, one in enumerate(every, start=1) if not one.collapsed]


def whole_run(output: Path) -> None:
    """Write what a run writes."""
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    for one in maps():
        write_map(one, scan, output / ("closed-form" if one.name.startswith("chi") else "maps"))
    write_nifti(output / "images" / "flair.nii.gz", head().astype(np.float32), GRID)
