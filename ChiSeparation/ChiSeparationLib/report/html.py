"""The report: one HTML page that holds everything, opens without a network and runs no script."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import writing

from ..lesions.suggestion import ThresholdSet
from ..lesions.table import SUGGESTION_NOTICE, LesionTable
from .comparison import MethodRow
from .table import MapSummary

_TEMPLATE = Path(__file__).with_name("report.html")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: How DICOM keywords of the patient module begin, without spaces and signs.
_IDENTIFIERS = ("patientname", "patientid", "patientbirth", "patientaddress", "otherpatient", "accessionnumber")


@dataclass(frozen=True)
class Picture:
    """A PNG file and what it shows."""

    caption: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """What the report says; it must hold no data that identify a patient.

    Parameters
    ----------
    title : str
        Heading of the page.
    method : mapping of str to object
        How the maps were made: name of a step → what was done, in words.
    provenance : mapping of str to object
        Options and versions; may be nested.
    findings : tuple of str
        Quality control in words.
    warnings : tuple of str
        What the user should know before looking at the maps.
    maps : tuple of MapSummary
        Each map in numbers.
    comparison : tuple of MethodRow
        Each map by each method, where several were run.
    pictures : tuple of Picture
        Shown in this order.
    lesions : mapping of str to LesionTable
        By the method that made the χ maps.
    evaluation : mapping of str to mapping of str to float, optional
        Row (method and map) → metric with its unit → value, against a known truth.
    simulated : bool
        The data come from a simulation, and the page says so at the top.
    """

    title: str
    method: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    maps: tuple[MapSummary, ...] = ()
    comparison: tuple[MethodRow, ...] = ()
    pictures: tuple[Picture, ...] = ()
    lesions: Mapping[str, LesionTable] = field(default_factory=dict)
    evaluation: Mapping[str, Mapping[str, float]] | None = None
    simulated: bool = False


def write_report(path: Path, content: ReportContent) -> None:
    """Write the report whole or not at all.

    Raises
    ------
    InputError
        If a picture is no PNG file, or the provenance names a patient.
    OutputError
        If it cannot be written.
    """
    page = render_report(content)
    with writing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render_report(content: ReportContent) -> str:
    """The report as HTML.

    Raises
    ------
    InputError
        If a picture is no PNG file, or the provenance names a patient.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    evaluation = content.evaluation or {}
    page = template.render(
        content=content,
        method=list(flat(content.method)),
        provenance=list(flat({"ChiSeparation": __version__, **content.provenance})),
        pictures=[(picture.caption, _data_uri(picture.path)) for picture in content.pictures],
        lesions=[(name, _lesion_rows(table), table) for name, table in content.lesions.items()],
        thresholds=_thresholds(content),
        notice=SUGGESTION_NOTICE,
        metrics=list(dict.fromkeys(metric for row in evaluation.values() for metric in row)),
        evaluation=evaluation,
        number=_number,
    )
    return page.rstrip() + "\n"


def flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested content as pairs of a dotted name and a text; of paths only the last part, which names no user."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        _refuse_identifier(str(key))
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}.")
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "not set" if value is None else str(value)


def _refuse_identifier(key: str) -> None:
    plain = "".join(letter for letter in key.casefold() if letter.isalnum())
    if plain.startswith(_IDENTIFIERS):
        raise InputError("report", f"an entry '{key}'", "content without data that identify a patient",
                         "Leave the entry out.")  # fmt: skip


def _data_uri(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError("picture", f"{path.name}, which cannot be read ({error.strerror})", "a PNG file") from error
    if not content.startswith(_PNG_SIGNATURE):
        raise InputError("picture", f"{path.name}, which is no PNG", "a PNG file")
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _thresholds(content: ReportContent) -> list[ThresholdSet]:
    """Every set of limits in use, once."""
    used: list[ThresholdSet] = []
    for table in content.lesions.values():
        if table.thresholds not in used:
            used.append(table.thresholds)
    return used


def _lesion_rows(table: LesionTable) -> list[dict[str, Any]]:
    return [
        {
            "label": row.label,
            "name": row.name,
            "volume": _number(row.geometry["volume_mm3"], 0),
            "place": ", ".join(_number(row.geometry[f"centroid_{axis}_mm"], 0) for axis in "ras"),
            "grades": [(row.suggestions[name], _contrast(row.measures[name].values)) for name in table.graded_maps],
            "flags": row.flags,
        }
        for row in table.rows
    ]


def _contrast(values: Mapping[str, float | None]) -> str:
    ppb, spreads = values["contrast_ppb"], values["contrast_sd"]
    if ppb is None:
        return "contrast unknown"
    return f"{_signed(ppb)} ppb" + (f", {_signed(spreads)} SD" if spreads is not None else "")


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")
