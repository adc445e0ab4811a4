"""A run's results in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ChiSepPreprocessLib.artifacts import Acquisition, Image, Map, MapSet
from ChiSepPreprocessLib.quality.record import QualityRecord
from ChiSepPreprocessLib.registration.to_gre import Registered


@dataclass(frozen=True, eq=False)
class Study:
    """A run's results in memory.

    Parameters
    ----------
    acquisition : Acquisition or None
        What was measured; ``None`` where only maps were read.
    maps : MapSet
        Preprocessed maps.
    results : mapping of str to MapSet
        χ maps by method, each with the preprocessed maps.
    folder : Path
        Where everything was written.
    mark : str
        Fingerprint of the inputs.
    quality : QualityRecord or None
        Of the acquisition and the preprocessed maps.
    flair : Registered or None
        How the FLAIR lies on the GRE.
    notes : tuple of str
        Warnings that belong to no map.
    orientations : tuple of MapSet
        Maps of the head turned in the scanner, on the grid of ``maps``.
    """

    acquisition: Acquisition | None
    maps: MapSet
    results: Mapping[str, MapSet]
    folder: Path
    mark: str
    quality: QualityRecord | None = None
    flair: Registered | None = None
    notes: tuple[str, ...] = ()
    orientations: tuple[MapSet, ...] = ()

    @cached_property
    def images(self) -> dict[str, Image]:
        """FLAIR, on its own grid, in place; the maps hold the magnitude themselves."""
        flair = self.acquisition.flair if self.acquisition else None
        if flair is None:
            return {}
        return {"flair": Image(flair.data, flair.grid if self.flair is None else self.flair.grid_in_place)}

    @property
    def maps_with_echoes(self) -> MapSet:
        """The preprocessed maps and, where it was read, the measured magnitude, for methods that fit it."""
        if self.acquisition is None:
            return self.maps
        echoes = self.acquisition.gre_magnitude
        return self.maps.including(Map(name="gre_magnitude", data=echoes, grid=self.maps.grid, method="measured"))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every warning once, in the order of the road."""
        spoken = [
            text for result in (self.maps, *self.results.values()) for one in result.values() for text in one.warnings
        ]
        first = self.acquisition.warnings if self.acquisition else ()
        judged = self.quality.warnings if self.quality else ()
        return tuple(dict.fromkeys((*first, *judged, *self.notes, *spoken)))
