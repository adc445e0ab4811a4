"""Readings on disk: JSON that a later version can read too, and CSV for spreadsheets and statistics.

The JSON is the record; it holds everything. The CSV has one row for each judgement, and of the lesions only those
that were judged, without what they were split or merged from.
"""

from __future__ import annotations

import csv
import io
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import write_csv, write_json

from .grades import Grade
from .reading import Judgement, Lesion, Question, Reading

#: Form of the JSON. A change that older files do not fit needs the next number and a step in ``_MIGRATIONS``.
SCHEMA = 1

#: Some 200 000 judgements; a larger file is none of ours.
LARGEST_FILE_BYTES = 64 * 2**20

#: Longest text in a CSV cell, characters; spreadsheets and CSV readers have limits of their own.
LONGEST_CELL = 30_000

_COLUMNS = ("patient", "lesion_id", "name", "place", "volume_mm3", "centroid_r_mm", "centroid_a_mm", "centroid_s_mm",
            "map_name", "pipeline", "reader", "repeat", "grade", "confidence", "comment", "time")  # fmt: skip
_NEEDED_COLUMNS = ("lesion_id", "map_name", "pipeline", "reader", "grade", "time")
_NUMBERS: Mapping[str, Callable[[str], float]] = {
    "volume_mm3": float, "centroid_r_mm": float, "centroid_a_mm": float, "centroid_s_mm": float, "repeat": int,
    "confidence": int,
}  # fmt: skip

#: Spreadsheets take a cell that starts so for a formula; the wide signs are those of East Asian keyboards.
_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

_CORRECT = "Correct the file, or export the reading again."


def write_reading(path: Path, reading: Reading) -> None:
    """Write a reading as JSON, whole or not at all.

    Parameters
    ----------
    path : Path
        File to write; its folder is made if it is not there.
    reading : Reading
        What to write.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_json(path, as_json(reading))


def read_reading(path: Path) -> Reading:
    """Read a reading from JSON of this or an older schema.

    Raises
    ------
    InputError
        If the file is missing, too large, no reading, or of a newer schema.
    """
    text = _text_of(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("reading", f"{path.name}, which is no JSON", "a reading as JSON", _CORRECT) from error
    return from_json(content)


def as_json(reading: Reading) -> dict[str, Any]:
    """Give a reading as what JSON knows; :func:`from_json` gives it back."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "patient": _encodable(reading.patient),
        "lesions": [_lesion_as_json(lesion) for lesion in reading.lesions],
        "judgements": [_judgement_as_json(judgement) for judgement in reading],
    }


def from_json(content: Any) -> Reading:
    """Read what :func:`as_json` of this or an older version gave.

    Parameters
    ----------
    content : object
        As JSON gives it; nothing about it is trusted.

    Raises
    ------
    InputError
        If it is no reading, or of a newer schema.
    """
    content = _migrated(content)
    lesions = _list(content, "lesions", "reading")
    judgements = _list(content, "judgements", "reading")
    return Reading(
        patient=_text(content, "patient", "reading", ""),
        lesions=tuple(_lesion(row, f"lesion {number}") for number, row in enumerate(lesions, 1)),
        judgements=_by_question(_judgement(row, f"judgement {number}") for number, row in enumerate(judgements, 1)),
    )


def write_grades_csv(path: Path, *readings: Reading) -> None:
    """Write one row for each judgement of one or more patients, UTF-8 with a mark that spreadsheets know.

    Text that a spreadsheet would take for a formula stands behind an apostrophe, which :func:`read_grades_csv` removes.

    Raises
    ------
    InputError
        If a text is too long for a cell.
    OutputError
        If it cannot be written.
    """
    rows = [row for reading in readings for row in _rows(reading)]
    write_csv(path, _COLUMNS, rows, encoding="utf-8-sig")


def read_grades_csv(path: Path) -> tuple[Reading, ...]:
    """Read what :func:`write_grades_csv` wrote, or a table of that form from elsewhere.

    An export's ``grades.csv`` does too: of it, the rows that a reader has given.

    Returns
    -------
    tuple of Reading
        One for each patient, in the order of their first rows.

    Raises
    ------
    InputError
        If the file is missing, too large, not of that form, or answers a question twice.
    """
    text = _text_of(path)
    patients: dict[str, list[tuple[Lesion, Judgement]]] = {}
    try:
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        is_export = table.fieldnames is not None and {"map", "rank"} <= set(table.fieldnames)
        if is_export:
            table.fieldnames = ["map_name" if name == "map" else name for name in table.fieldnames or ()]
        missing = [name for name in _NEEDED_COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise InputError("table of grades", f"no column {', '.join(missing)}", f"columns {', '.join(_COLUMNS)}")
        for row in table:
            content = _from_cells(row, f"line {table.line_num}")
            if is_export and not content["reader"]:  # measures that nobody has graded
                continue
            content["grade"] = _CODES.get(content.get("grade"), content.get("grade"))
            pair = _lesion(content, f"line {table.line_num}"), _judgement(content, f"line {table.line_num}")
            patients.setdefault(content["patient"], []).append(pair)
    except csv.Error as error:
        raise InputError("table of grades", f"{path.name}, which is no CSV ({error})", "CSV", _CORRECT) from error
    return tuple(_of_patient(patient, pairs) for patient, pairs in patients.items())


def _text_of(path: Path) -> str:
    try:
        if not path.is_file():
            raise InputError("reading", f"'{path.name}', which is no file", "a file", "Check the path.")
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise InputError("reading", f"{path.name} of more than {LARGEST_FILE_BYTES // 2**20} MB", "a smaller file")
        return path.read_bytes().decode("utf-8-sig")  # editors and spreadsheets may put a mark at the start
    except UnicodeDecodeError as error:
        raise InputError("reading", f"{path.name}, which is no text in UTF-8", "UTF-8", _CORRECT) from error
    except OSError as error:
        raise InputError("reading", f"{path.name}, which cannot be read ({error.strerror})", "a file",
                         "Check the path.") from error  # fmt: skip


def _migrated(content: Any) -> Mapping[str, Any]:
    """Bring content to the present schema, one step at a time."""
    schema = 0 if isinstance(content, list) else content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 0:
        raise InputError("reading", "JSON without the number of its schema", "a reading", _CORRECT)
    if schema > SCHEMA:
        raise InputError("schema of a reading", schema, f"{SCHEMA} or older",
                         "A newer version wrote it; update ChiSeparation.")  # fmt: skip
    for step in range(schema, SCHEMA):
        content = _MIGRATIONS[step](content)
    return content


def _from_rows(rows: Any) -> dict[str, Any]:
    """Schema 0, a bare list of rows (lesion, map, pipeline, reader, grade, comment, time): no repeats, no lesions."""
    known = [_object(row, f"row {number}") for number, row in enumerate(rows, 1)]
    names = {"lesion": "lesion_id", "map": "map_name"}
    judgements = [{names.get(key, key): value for key, value in row.items()} for row in known]
    ids = [_text(row, "lesion_id", f"row {number}") for number, row in enumerate(judgements, 1)]
    return {"schema": 1, "lesions": [{"lesion_id": one} for one in dict.fromkeys(ids)], "judgements": judgements}


#: An export names grades in words.
_CODES: Mapping[Any, str] = {grade.value: grade.code for grade in Grade}

_MIGRATIONS: Mapping[int, Callable[[Any], dict[str, Any]]] = {0: _from_rows}


def _lesion_as_json(lesion: Lesion) -> dict[str, Any]:
    return {
        "lesion_id": _encodable(lesion.lesion_id),
        "name": _encodable(lesion.name),
        "place": _encodable(lesion.place),
        "volume_mm3": _finite(lesion.volume_mm3),
        "centroid_ras_mm": [_finite(one) for one in lesion.centroid_ras_mm],
        "came_from": [_encodable(one) for one in lesion.came_from],
    }


def _judgement_as_json(judgement: Judgement) -> dict[str, Any]:
    asked = judgement.question
    return {
        "lesion_id": _encodable(asked.lesion_id),
        "map_name": asked.map_name,
        "pipeline": _encodable(asked.pipeline),
        "reader": _encodable(asked.reader),
        "repeat": asked.repeat,
        "grade": judgement.grade.code if judgement.grade else None,
        "confidence": judgement.confidence,
        "comment": _encodable(judgement.comment),
        "time": judgement.time,
    }


def _lesion(row: Any, where: str) -> Lesion:
    content = _object(row, where)
    centre = _list(content, "centroid_ras_mm", where, [0.0, 0.0, 0.0])
    if len(centre) != 3:
        _refuse("centroid_ras_mm", centre, "three numbers", where)
    r, a, s = (_number(one, "centroid_ras_mm", where) for one in centre)
    origins = _list(content, "came_from", where, [])
    return Lesion(
        lesion_id=_text(content, "lesion_id", where),
        name=_text(content, "name", where, ""),
        place=_text(content, "place", where, ""),
        volume_mm3=_number(content.get("volume_mm3", 0.0), "volume_mm3", where),
        centroid_ras_mm=(r, a, s),
        came_from=tuple(_text({"came_from": one}, "came_from", where) for one in origins),
    )


def _judgement(row: Any, where: str) -> Judgement:
    content = _object(row, where)
    lesion_id, map_name, pipeline, reader = (
        _text(content, key, where) for key in ("lesion_id", "map_name", "pipeline", "reader")
    )
    code, confidence = content.get("grade"), content.get("confidence")
    code = None if code in (None, "") else _text(content, "grade", where)
    confidence = None if confidence is None else _whole(confidence, "confidence", where)
    repeat = _whole(content.get("repeat", 1), "repeat", where)
    comment, time = _text(content, "comment", where, ""), _text(content, "time", where)
    try:
        return Judgement(
            question=Question(lesion_id, map_name, pipeline, reader, repeat),
            grade=None if code is None else Grade.from_code(code),
            confidence=confidence,
            comment=comment,
            time=time,
        )
    except InputError as error:
        raise InputError(f"{error.quantity} ({where})", str(error.got)[:80], error.expected, _CORRECT) from error


def _by_question(judgements: Iterable[Judgement]) -> dict[Question, Judgement]:
    found: dict[Question, Judgement] = {}
    for judgement in judgements:
        if judgement.question in found:
            _refuse("judgement", tuple(judgement.question), "one answer to each question", "given twice")
        found[judgement.question] = judgement
    return found


def _rows(reading: Reading) -> Iterator[dict[str, Any]]:
    lesions = {lesion.lesion_id: lesion for lesion in reading.lesions}
    for judgement in reading:
        lesion_id = judgement.question.lesion_id
        yield _cells(reading.patient, lesions.get(lesion_id, Lesion(lesion_id=lesion_id)), judgement)


def _cells(patient: str, lesion: Lesion, judgement: Judgement) -> dict[str, Any]:
    known = _lesion_as_json(lesion)
    centre = zip("ras", known["centroid_ras_mm"], strict=True)
    row = {
        "patient": _encodable(patient),
        **{key: value for key, value in known.items() if key in _COLUMNS},
        **{f"centroid_{axis}_mm": position for axis, position in centre},
        **_judgement_as_json(judgement),
    }
    for key, value in row.items():
        if isinstance(value, str) and len(value) > LONGEST_CELL:
            raise InputError(f"{key} in a table of grades", f"{len(value)} characters", f"at most {LONGEST_CELL}",
                             "Shorten it, or write the reading as JSON.")  # fmt: skip
    return {key: safe_cell(value) if isinstance(value, str) else value for key, value in row.items()}


def _from_cells(row: Mapping[str | None, Any], where: str) -> dict[str, Any]:
    """The row as JSON has it; cells left empty are left out."""
    if None in row or None in row.values():
        _refuse("table of grades", "too many or too few cells", "one for each column", where)
    texts = {key: _plain(value) for key, value in row.items() if key and key not in _NUMBERS}
    numbers = {key: _parsed(key, row[key], where) for key in _NUMBERS if row.get(key)}
    centre = [numbers.pop(f"centroid_{axis}_mm", 0.0) for axis in "ras"]
    return {"patient": "", **texts, **numbers, "centroid_ras_mm": centre}


def _parsed(key: str, cell: str, where: str) -> float:
    try:
        return _NUMBERS[key](cell)
    except ValueError:
        _refuse(key, cell, "a number", where)


def _of_patient(patient: str, pairs: list[tuple[Lesion, Judgement]]) -> Reading:
    lesions = {lesion.lesion_id: lesion for lesion, _ in pairs}
    judgements = _by_question(judgement for _, judgement in pairs)
    return Reading(patient=patient, lesions=tuple(lesions.values()), judgements=judgements)


def safe_cell(text: str) -> str:
    """Text for a CSV cell, behind an apostrophe if a spreadsheet would take it for a formula.

    An apostrophe that stands at the start already is doubled, so that none is lost.
    """
    return f"'{text}" if _needs_apostrophe(text) else text


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _needs_apostrophe(cell[1:]) else cell


def _needs_apostrophe(text: str) -> bool:
    return text.lstrip().startswith(_FORMULA_STARTS) or text.startswith("'")


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse("reading", value, "a JSON object", where)
    return value


def _list(content: Mapping[str, Any], key: str, where: str, default: list[Any] | None = None) -> list[Any]:
    value = content.get(key, default)
    if not isinstance(value, list):
        _refuse(key, value, "a JSON array", where)
    return value


def _text(content: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = content.get(key, default)
    if not isinstance(value, str):
        _refuse(key, value, "text", where)
    return _encodable(value)


def _number(value: Any, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
        _refuse(key, value, "a number of this size", where)
    return float(value)


def _whole(value: Any, key: str, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(key, value, "a whole number", where)
    return value


def _finite(number: float) -> float:
    """Numbers of a lesion without voxels as unknown, since JSON has no others."""
    return float(number) if math.isfinite(number) else 0.0


def _encodable(text: str) -> str:
    """Join halves of characters, as other programs may hand them over; what stays half becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _refuse(quantity: str, got: object, expected: str, where: str) -> NoReturn:
    raise InputError(f"{quantity} ({where})", reprlib.repr(got), expected, _CORRECT)
