"""Names of the regions of a label map, as atlases bring them in a text file."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.errors import InputError

#: A line of ITK-SNAP: number, red, green, blue, opacity, two visibilities, name in quotes.
_ITK_SNAP = re.compile(r'\s*(\d+)(?:\s+[\d.]+){6}\s+"(.*)"\s*')

#: Headers of the two columns that are read, in lower case; without a header they are the first two.
_NUMBER_HEADERS = ("label", "number", "index", "id", "value", "no", "no.", "#", "roi")
_NAME_HEADERS = ("name", "region", "structure", "label_name", "labelname", "abbreviation", "roi_name")


def read_label_names(path: Path) -> dict[int, str]:
    """Read the name of each label from CSV, TSV, JSON or the label description of ITK-SNAP.

    Parameters
    ----------
    path : Path
        Tables have a column with the number (``label``, ``index``, ``id``, …) and one with the ``name``, or are
        headless with number and name. JSON is ``{"1": "CN"}``, ``{"CN": 1}`` either of them under
        ``labels``, or a list of objects with such keys.

    Returns
    -------
    dict of int to str
        Without 0, which is the background.

    Raises
    ------
    InputError
        If the file cannot be read, holds no pair of number and name, or names a label twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError("label names", f"{path.name}, which cannot be read", "a text file") from error
    names: dict[int, str] = {}
    for number, name in _pairs(text, path):
        if number in names and names[number] != name:
            raise InputError("label names", f"'{names[number]}' and '{name}' for label {number} in {path.name}",
                             "one name for each label", "Correct the file.")  # fmt: skip
        names[number] = name
    names.pop(0, None)
    if not names:
        raise InputError("label names", f"{path.name}, which names no label",
                         "pairs of number and name as CSV, TSV, JSON or ITK-SNAP label description")  # fmt: skip
    return names


def _pairs(text: str, path: Path) -> list[tuple[int, str]]:
    if text.lstrip().startswith(("{", "[")):
        return _from_json(text, path)
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    snap = [found for found in map(_ITK_SNAP.fullmatch, lines) if found]
    if snap:
        return [(int(found[1]), found[2].strip()) for found in snap]
    return _from_table(lines)


def _from_json(text: str, path: Path) -> list[tuple[int, str]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            "label names", f"{path.name}, which is no JSON", "a JSON object", "Correct the file."
        ) from error
    if isinstance(content, dict):
        content = content["labels"] if isinstance(content.get("labels"), dict) else content
        return _whole((value, key) if _is_number(value) else (key, value) for key, value in content.items())
    records = [{str(key).lower(): value for key, value in one.items()} for one in content if isinstance(one, dict)]
    return _whole((_first(one, _NUMBER_HEADERS), _first(one, _NAME_HEADERS)) for one in records)


def _from_table(lines: list[str]) -> list[tuple[int, str]]:
    delimiter = next((one for one in "\t,;" if lines and one in lines[0]), " ")
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
    if not rows or _is_number(rows[0][0]):
        return _whole((row[0], row[1]) for row in rows if len(row) > 1)
    header = [cell.lower() for cell in rows[0]]
    records = [dict(zip(header, row, strict=False)) for row in rows[1:]]
    return _whole((_first(one, _NUMBER_HEADERS), _first(one, _NAME_HEADERS)) for one in records)


def _first(record: dict[str, Any], keys: Iterable[str]) -> Any:
    return next((record[key] for key in keys if key in record), None)


def _whole(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[int, str]]:
    return [(int(number), name.strip()) for number, name in pairs
            if _is_number(number) and isinstance(name, str) and name.strip()]  # fmt: skip


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and str(value).strip().isdecimal()
