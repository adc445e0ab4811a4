"""``chisep lesions agree``: how far two readers, pipelines or repeats agree, or a reader and the suggestion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import write_json, writing

from ..arguments import AsJson
from ..console import Console

if TYPE_CHECKING:
    from ..lesions.agreement import Agreement
    from ..lesions.raters import Rater, Suggestions
    from ..lesions.reading import Reading

_FORM = "such as reader=AB,pipeline=closed-form,repeat=1, or suggestion"

_Rater = "reader=NAME,pipeline=NAME,repeat=N (what is left out is as on the other side), or suggestion."


def agree_command(
    readings: Annotated[list[Path], typer.Argument(help="Readings as JSON, or tables of grades as CSV.")],
    between: Annotated[str, typer.Option("--between", metavar="RATER", help=f"Rows of the table: {_Rater}")],
    other: Annotated[str, typer.Option("--and", metavar="RATER", help="Columns of the table, in the same form.")],
    map_name: Annotated[str | None, typer.Option("--map", help="chi_para or chi_dia; both by default.")] = None,
    suggestions: Annotated[
        list[Path] | None,
        typer.Option(help="Lesion table (JSON) with suggestions; one for each patient, in the order of the readings."),
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Keys (JSON) of blinded readings, which hold labels alone.")] = None,
    level: Annotated[float, typer.Option(help="Of the confidence intervals.")] = 0.95,
    resamples: Annotated[int, typer.Option(help="How often patients are drawn anew for the intervals.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of these draws.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File: .json (everything), .csv (tables) or .txt.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two raters: 5×5 tables, agreement, κ, symmetry, discordant lesions."""
    from ..lesions.agreement import agree
    from ..lesions.reading import GRADED_MAPS

    write = None if output is None else _writer(output, readings)
    raters = _rater(between), _rater(other)
    every = _unblinded([one for path in readings for one in _read(path)], keys)
    suggested = _suggestions(every, suggestions or [])
    found = [
        agree(every, *raters, name, suggestions=suggested, level=level, resamples=resamples, seed=seed)
        for name in ([map_name] if map_name else GRADED_MAPS)
    ]
    if output is not None and write is not None:
        write(output, found)
    Console.show(_json(found), lambda: _lines(found), as_json=as_json)


def _rater(text: str) -> Rater:
    """``reader=AB,pipeline=x`` as a rater; a name may hold commas, and signs of equality."""
    from ..lesions.raters import CHOICES, Rater

    if text == "suggestion":
        return Rater(suggested=True)
    parts = [part.partition("=") for part in re.split(rf",(?=(?:{'|'.join(CHOICES)})=)", text)]
    chosen: dict[str, Any] = {key: value for key, _, value in parts}
    if not all(chosen.values()) or not chosen.keys() <= set(CHOICES) or len(chosen) < len(parts):
        raise InputError("rater", repr(text), _FORM)
    if "repeat" in chosen:
        if not chosen["repeat"].isdecimal():
            raise InputError("rater", repr(text), "repeat=1 or another whole number")
        chosen["repeat"] = int(chosen["repeat"])
    return Rater(**chosen)


def _read(path: Path) -> Sequence[Reading]:
    from ..lesions.reading_files import read_grades_csv, read_reading

    return read_grades_csv(path) if path.suffix.lower() == ".csv" else [read_reading(path)]


def _unblinded(readings: list[Reading], keys: Path | None) -> list[Reading]:
    from ..lesions.blinding import read_keys, unblind

    if keys is None:
        return readings
    known = read_keys(keys)
    return [unblind(one, *known) for one in readings]


def _suggestions(readings: Sequence[Reading], paths: Sequence[Path]) -> Mapping[str, Suggestions]:
    from ..lesions.raters import read_suggestions

    patients = list(dict.fromkeys(one.patient for one in readings))
    if paths and len(paths) != len(patients):
        raise InputError("--suggestions", f"{len(paths)} for {len(patients)} patients", "one lesion table for each")
    return {patient: read_suggestions(path) for patient, path in zip(patients, paths, strict=False)}


def _writer(output: Path, readings: Sequence[Path]) -> Callable[[Path, Sequence[Agreement]], None]:
    from ..lesions.agreement_output import write_csv

    writers: dict[str, Callable[[Path, Sequence[Agreement]], None]] = {
        ".json": lambda path, found: write_json(path, _json(found)),
        ".csv": write_csv,
        ".txt": _write_text,
    }
    if output.suffix.lower() not in writers:
        raise InputError("--output", output.name, "a name that ends with .json, .csv or .txt")
    if output.resolve() in [path.resolve() for path in readings]:
        raise InputError("--output", f"{output.name}, one of the readings", "another name")
    return writers[output.suffix.lower()]


def _write_text(path: Path, found: Sequence[Agreement]) -> None:
    with writing(path) as temporary:
        temporary.write_text("\n".join([*_lines(found), ""]), encoding="utf-8")


def _json(found: Sequence[Agreement]) -> dict[str, Any]:
    from ..lesions.agreement_output import as_json, figure_data

    return {"agreements": [{**as_json(one), "figure": figure_data(one)} for one in found]}


def _lines(found: Sequence[Agreement]) -> list[str]:
    from ..lesions.agreement_output import as_lines

    return [line for number, one in enumerate(found) for line in (*([""] if number else []), *as_lines(one))]
