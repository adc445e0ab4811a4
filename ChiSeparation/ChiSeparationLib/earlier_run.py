"""What a run can keep of the one that it replaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ChiSepPreprocessLib.artifacts import Grid, Map
from ChiSepPreprocessLib.pipeline import PreprocessOptions
from ChiSepPreprocessLib.reuse import plain, unaffected_maps

from .run_folder import RunFolder, fingerprint, fingerprint_of_maps, read_record

if TYPE_CHECKING:
    from .workflow import Inputs


def untouched_maps(output: Path, inputs: Inputs, options: PreprocessOptions, grid: Grid) -> dict[str, Map]:
    """Maps of the run in a folder that other options would leave as they are; none if it is of other data.

    Parameters
    ----------
    output : Path
        Folder of the earlier run.
    inputs : Inputs
        What the new run reads, and how.
    options : PreprocessOptions
        Of the new run.
    grid : Grid
        Of the gradient echo.
    """
    record = read_record(output)
    recorded = record.get("options")
    before = recorded.get("preprocess") if isinstance(recorded, Mapping) else None
    if not isinstance(before, Mapping):
        return {}
    mark = fingerprint(inputs.roles, {"load": asdict(inputs.load), "preprocess": before})
    if mark != fingerprint_of_maps(str(record.get("fingerprint", ""))):
        return {}
    names = unaffected_maps(before, plain(options))
    return {name: one for name, one in RunFolder(output, mark).complete_maps(grid).items() if name in names}
