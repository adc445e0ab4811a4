"""The quality page in a run's folder."""

from __future__ import annotations

from ChiSepPreprocessLib.artifacts import Acquisition, MapSet
from ChiSepPreprocessLib.errors import MissingDependencyError
from ChiSepPreprocessLib.quality.picture import write_quality_picture
from ChiSepPreprocessLib.quality.record import QualityRecord

from .run_folder import QUALITY, RunFolder


def drawn_page(folder: RunFolder, quality: QualityRecord, acquisition: Acquisition, maps: MapSet) -> tuple[str, ...]:
    """Draw the quality page; the run goes on, with a note, where it cannot be drawn.

    Returns
    -------
    tuple of str
        The note, if there is one.
    """
    try:
        write_quality_picture(folder.path / QUALITY, quality, acquisition, maps)
    except MissingDependencyError as error:
        return (str(error),)
    return ()
