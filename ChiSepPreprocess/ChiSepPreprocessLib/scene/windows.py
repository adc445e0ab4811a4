"""Display windows of every map as plain data: range in the map's unit, colour table, number format.

The first preset of a map is its default. Ranges follow the regional means at 3 T of Shin et al., NeuroImage 240,
118371, 2021, and of later atlases: globus pallidus about 0.13 ppm para- and 0.013 ppm diamagnetic, white matter
about 0.017 and 0.03 to 0.05 ppm, R2* about 15 to 50 1/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import pi
from types import MappingProxyType

from ..artifacts import ARTIFACTS, Kind
from ..errors import InputError
from .colors import DIA, DIVERGING, PARA, RATE

#: Slicer's own grey table, present in every scene.
GREY = "Grey"

#: What menus call the colour tables.
COLOR_TITLES: Mapping[str, str] = MappingProxyType(
    {
        PARA: "Warm, for paramagnetic sources",
        DIA: "Cool, for diamagnetic sources",
        DIVERGING: "Cool to warm, black at zero",
        RATE: "Purple to yellow, for rates",
        GREY: "Grey",
    }
)


@dataclass(frozen=True, kw_only=True)
class WindowPreset:
    """How one map is shown.

    Parameters
    ----------
    name : str
        Shown in menus.
    unit : str
        Unit of the range, the artifact's own.
    minimum, maximum : float
        Values that get the first and the last colour.
    color_table : str
        A name of :mod:`.colors`, or :data:`GREY`.
    number_format : str
        printf format of the legend's numbers.
    """

    name: str
    unit: str
    minimum: float
    maximum: float
    color_table: str
    number_format: str = "%.2f"

    @property
    def title(self) -> str:
        """Name and range in words, such as ``"White matter (0 to 0.05 ppm)"``."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"{self.name} ({self.minimum:.3g} to {self.maximum:.3g}{unit})"


@dataclass(frozen=True)
class _Range:
    name: str
    minimum: float
    maximum: float


def _presets(unit: str, table: str, number_format: str, *ranges: _Range) -> tuple[WindowPreset, ...]:
    return tuple(
        WindowPreset(
            name=one.name,
            unit=unit,
            minimum=one.minimum,
            maximum=one.maximum,
            color_table=table,
            number_format=number_format,
        )
        for one in ranges
    )


def _symmetric(name: str, limit: float) -> _Range:
    return _Range(name, -limit, limit)


#: Presets of each real map with a fixed unit, default first.
PRESETS: Mapping[str, tuple[WindowPreset, ...]] = MappingProxyType(
    {
        "chi_para": _presets(
            "ppm", PARA, "%.2f", _Range("Brain", 0.0, 0.1), _Range("Iron-rich nuclei", 0.0, 0.2),
            _Range("White matter", 0.0, 0.05), _Range("Veins and bleeds", 0.0, 0.4),
        ),
        "chi_dia": _presets(
            "ppm", DIA, "%.2f", _Range("Brain", 0.0, 0.06), _Range("Grey matter", 0.0, 0.03),
            _Range("Calcification", 0.0, 0.3),
        ),
        "chi_total": _presets(
            "ppm", DIVERGING, "%.2f", _symmetric("Brain", 0.1), _symmetric("White matter", 0.05),
            _symmetric("Iron-rich nuclei", 0.2),
        ),
        "local_field": _presets("ppm", DIVERGING, "%.2f", _symmetric("Brain", 0.05), _symmetric("Wide", 0.1)),
        "total_field": _presets("ppm", DIVERGING, "%.1f", _symmetric("Brain", 1.0), _symmetric("Sinuses", 3.0)),
        "field_sigma": _presets("ppm", GREY, "%.3f", _Range("Brain", 0.0, 0.004), _Range("Wide", 0.0, 0.04)),
        "phase_residual": _presets("rad", GREY, "%.2f", _Range("Brain", 0.0, 0.1), _Range("Wide", 0.0, 0.5)),
        "b1": _presets("1", GREY, "%.1f", _Range("Brain", 0.0, 1.5)),
        "r2star": _presets("1/s", RATE, "%.0f", _Range("Brain", 0.0, 50.0), _Range("Iron-rich nuclei", 0.0, 100.0)),
        "r2": _presets("1/s", RATE, "%.0f", _Range("Brain", 0.0, 25.0)),
        "r2prime": _presets("1/s", RATE, "%.0f", _Range("Brain", 0.0, 25.0), _Range("Iron-rich nuclei", 0.0, 50.0)),
        "gre_phase": _presets("rad", GREY, "%.1f", _symmetric("Wrapped", pi)),
    }
)  # fmt: skip


def presets(artifact: str) -> tuple[WindowPreset, ...]:
    """Presets of an artifact, default first; none for magnitudes, whose range depends on the scanner, and for masks.

    Raises
    ------
    InputError
        If there is no artifact of that name.
    """
    if artifact not in ARTIFACTS:
        raise InputError("artifact name", artifact, f"one of {', '.join(ARTIFACTS)}")
    return PRESETS.get(artifact, ())


def preset(artifact: str, name: str = "") -> WindowPreset:
    """One preset of an artifact, the default if no name is given.

    Raises
    ------
    InputError
        If the artifact has no such preset.
    """
    choices = presets(artifact)
    for one in choices:
        if name in ("", one.name):
            return one
    known = ", ".join(one.name for one in choices) or "none: its window is found from the data"
    raise InputError(f"window of {artifact}", name or "the default", f"one of {known}")


def difference_window(artifact: str) -> WindowPreset:
    """Window of a difference of two results: symmetric, to half of the greatest value of the default window.

    It is the same for every pair of results, so that differences can be compared with each other.

    Raises
    ------
    InputError
        If the artifact has no preset.
    """
    usual = preset(artifact)
    limit = usual.maximum / 2.0
    return replace(usual, name="Difference", minimum=-limit, maximum=limit, color_table=DIVERGING,
                   number_format="%.3g")  # fmt: skip


def color_tables(artifact: str) -> tuple[str, ...]:
    """Colour tables that suit an artifact, its own first: one with another zero would mislead.

    Raises
    ------
    InputError
        If there is no artifact of that name.
    """
    return tuple(dict.fromkeys([*(one.color_table for one in presets(artifact)), GREY]))


def has_fixed_unit(artifact: str) -> bool:
    """Whether values of the artifact mean the same on every scanner."""
    spec = ARTIFACTS[artifact]
    return spec.kind is Kind.REAL and spec.unit != "a.u."
