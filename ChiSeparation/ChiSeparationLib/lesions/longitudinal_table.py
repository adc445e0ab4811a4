"""The table of a follow-up: one row for each lesion of two times, as CSV and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import write_csv, write_json

from .change_noise import Key, NoiseOptions
from .matching import LesionMatch, MatchOptions
from .measures import MAP_MEASURES
from .regions import RegionOptions

#: What is followed of each map.
MEASURES = ("mean_ppb", "contrast_ppb", "core_mean_ppb", "rim_mean_ppb")

#: Parts of a change, as columns have them.
_PARTS = ("first", "second", "change", "noise", "contour_noise", "noise_samples", "z", "called")

_GEOMETRY = (
    "label", "first_labels", "second_labels", "kind", "parts", "volume_first_mm3", "volume_second_mm3",
    "volume_change_mm3", "volume_error_mm3", "volume_z", "overlap_mm3", "centroid_r_mm", "centroid_a_mm",
    "centroid_s_mm", "noise_source", "noise_voxels",
)  # fmt: skip


class Called(Enum):
    """What a change is called."""

    RISE = "rise"
    FALL = "fall"
    NONE = "no change"


@dataclass(frozen=True, kw_only=True)
class LongitudinalOptions:
    """How two times are compared.

    Parameters
    ----------
    measures : tuple of str
        Those in ppb of ``MAP_MEASURES``.
    z_limit : float
        A change is called one from so many standard deviations of its noise on ...
    least_change_ppb : float
        ... if it is also as large as this; below it grades of lesions call a contrast isointense.
    match : MatchOptions
        When lesions are the same.
    regions : RegionOptions
        Core, rim and surroundings.
    noise : NoiseOptions
        How noise is measured.
    """

    measures: tuple[str, ...] = MEASURES
    z_limit: float = 3.0
    least_change_ppb: float = 4.0
    match: MatchOptions = field(default_factory=MatchOptions)
    regions: RegionOptions = field(default_factory=RegionOptions)
    noise: NoiseOptions = field(default_factory=NoiseOptions)

    def __post_init__(self) -> None:
        known = [key for key, spec in MAP_MEASURES.items() if spec.unit == "ppb"]
        if not self.measures or not set(self.measures) <= set(known):
            raise InputError("measures to follow", ", ".join(self.measures) or "none", f"some of {', '.join(known)}")
        if not self.z_limit > 0 or not self.least_change_ppb >= 0:
            raise InputError(
                "limits of a change", f"{self.z_limit} and {self.least_change_ppb} ppb", "above 0, and ≥ 0"
            )


@dataclass(frozen=True, kw_only=True)
class Change:
    """One measure at two times, ppb; ``None`` where there is nothing to measure.

    Parameters
    ----------
    first, second : float or None
        Its values.
    noise : float or None
        Standard deviation of the change where nothing changes, that by the contour included.
    contour_noise : float
        The part of it by the contour.
    noise_samples : int
        How many changes the noise is from.
    called : Called or None
        ``None`` where it cannot be judged.
    """

    first: float | None
    second: float | None
    noise: float | None = None
    contour_noise: float = 0.0
    noise_samples: int = 0
    called: Called | None = None

    @property
    def change(self) -> float | None:
        """Later minus earlier."""
        return None if self.first is None or self.second is None else self.second - self.first

    @property
    def z(self) -> float | None:
        """Change in units of its noise."""
        return None if self.change is None or not self.noise else self.change / self.noise

    def as_json(self) -> dict[str, Any]:
        """By the names of columns."""
        called = self.called.value if self.called else None
        return {**asdict(self), "change": self.change, "z": self.z, "called": called}


@dataclass(frozen=True, kw_only=True)
class LongitudinalRow:
    """One lesion at two times.

    Parameters
    ----------
    match : LesionMatch
        Which lesions it is, and its volume.
    centroid_ras_mm : tuple of float or None
        Its centre in the first scan's space, at the first time or, of a new lesion, at the second.
    changes : mapping of (str, str) to Change
        By map and measure.
    noise_source : str
        Where the noise comes from.
    noise_voxels : int
        Size of the spheres that gave it, if they did.
    flags : tuple of str
        What the reader must know about this lesion.
    """

    match: LesionMatch
    centroid_ras_mm: tuple[float, float, float] | None
    changes: Mapping[Key, Change]
    noise_source: str
    noise_voxels: int = 0
    flags: tuple[str, ...] = ()

    def cells(self) -> dict[str, Any]:
        """The row by column name; ``None`` where there is nothing to measure."""
        row = {
            **self._geometry(),
            "first_labels": _joined(self.match.first),
            "second_labels": _joined(self.match.second),
        }
        for (name, measure), change in self.changes.items():
            values = change.as_json()
            row.update({_column(name, measure, part): values[part] for part in _PARTS})
        return {**row, "flags": " ".join(self.flags)}

    def as_json(self) -> dict[str, Any]:
        """The row, JSON-ready, its changes by map."""
        maps: dict[str, dict[str, Any]] = {}
        for (name, measure), change in self.changes.items():
            maps.setdefault(name, {})[measure] = change.as_json()
        return {**self._geometry(), "maps": maps, "flags": list(self.flags)}

    def _geometry(self) -> dict[str, Any]:
        one = self.match
        places = {
            f"centroid_{axis}_mm": at for axis, at in zip("ras", self.centroid_ras_mm or (None,) * 3, strict=True)
        }
        return {
            "label": one.label, "first_labels": list(one.first), "second_labels": list(one.second),
            "kind": one.kind.value, "parts": one.parts, "volume_first_mm3": one.volume_first_mm3,
            "volume_second_mm3": one.volume_second_mm3, "volume_change_mm3": one.volume_change_mm3,
            "volume_error_mm3": one.volume_error_mm3, "volume_z": one.volume_z, "overlap_mm3": one.overlap_mm3,
            **places, "noise_source": self.noise_source, "noise_voxels": self.noise_voxels,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LongitudinalTable:
    """All lesions of two times, with what the comparison rests on.

    Parameters
    ----------
    rows : tuple of LongitudinalRow
        By ascending label.
    compared_maps : tuple of str
        Names of the maps.
    method : str
        That made the maps at both times.
    options : LongitudinalOptions
        Limits, distances and smallest counts.
    statements : tuple of str
        How it was done, in words.
    warnings : tuple of str
        What concerns all lesions.
    """

    rows: tuple[LongitudinalRow, ...]
    compared_maps: tuple[str, ...]
    method: str = ""
    options: LongitudinalOptions = field(default_factory=LongitudinalOptions)
    statements: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names, the same with and without rows."""
        keys = [(name, measure) for name in self.compared_maps for measure in self.options.measures]
        return (*_GEOMETRY, *(_column(*key, part) for key in keys for part in _PARTS), "flags")

    @property
    def counts(self) -> dict[str, int]:
        """Lesions of each kind."""
        kinds = [row.match.kind.value for row in self.rows]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}

    def to_csv(self, path: Path) -> None:
        """Write one row for each lesion, UTF-8; an empty cell means that nothing could be measured.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        write_csv(path, self.columns, (row.cells() for row in self.rows))

    def as_json(self) -> dict[str, Any]:
        """Everything in the table, JSON-ready."""
        specs = [MAP_MEASURES[key] for key in self.options.measures]
        return {
            "version": __version__,
            "method": self.method,
            "maps": list(self.compared_maps),
            "measures": {one.key: {"unit": one.unit, "description": one.description} for one in specs},
            "options": asdict(self.options),
            "statements": list(self.statements),
            "warnings": list(self.warnings),
            "counts": self.counts,
            "lesions": [row.as_json() for row in self.rows],
        }

    def to_json(self, path: Path) -> None:
        """Write :meth:`as_json`.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        write_json(path, self.as_json())


def _column(name: str, measure: str, part: str) -> str:
    """``chi_para_contrast_change_ppb`` and the like."""
    unit = "_ppb" if part not in ("noise_samples", "z", "called") else ""
    return f"{name}_{measure.removesuffix('_ppb')}_{part}{unit}"


def _joined(labels: tuple[int, ...]) -> str:
    return " ".join(map(str, labels))
