"""Normative means and standard deviations of regions, as a table that users bring."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ChiSepPreprocessLib.errors import InputError

_MAPS = ("chi_para", "chi_dia", "chi_total")
_NEEDED = ("region", "map", "mean_ppb", "sd_ppb")
_AGES = ("age_from", "age_to")


@dataclass(frozen=True)
class NormativeValue:
    """Mean and standard deviation of a healthy group, ppb."""

    mean_ppb: float
    sd_ppb: float


@dataclass(frozen=True)
class Normative:
    """Values by region (name in lower case, or number) and map.

    Parameters
    ----------
    values : mapping
        (region, map) → value.
    """

    values: Mapping[tuple[str, str], NormativeValue]

    def value(self, region: str, label: int, name: str) -> NormativeValue | None:
        """Value of a region by its name, else by its number."""
        return self.values.get((region.casefold(), name)) or self.values.get((str(label), name))

    def unused(self, measured: Iterable[tuple[str, int, str]]) -> tuple[str, ...]:
        """Say which regions of the table are not among those measured (name, number and map)."""
        met = {(key, name) for region, label, name in measured for key in (region.casefold(), str(label))}
        maps = {name for _, name in met}
        missed = sorted({region for region, name in self.values if name in maps and (region, name) not in met})
        return (f"Normative regions that the labels lack: {', '.join(missed)}.",) if missed else ()


def read_normative(path: Path, age: float | None = None) -> Normative:
    """Read a CSV file with the columns region, map, mean_ppb, sd_ppb and, if they depend on it, age_from and age_to.

    Parameters
    ----------
    path : Path
        One row for each region, map and group of age. ``region`` is a name or the label's number.
    age : float, optional
        The patient's, years; needed where the table has ages. A group holds ``age_from <= age < age_to``; an empty
        limit is none.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column or number, names another map, or has no or two values for this age.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            lines = [
                {name: (cell or "").strip() for name, cell in zip(columns, line.values(), strict=False)}
                for line in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unusable(path, "which cannot be read") from error
    if missing := [name for name in _NEEDED if name not in columns]:
        raise _unusable(path, f"without the column {', '.join(missing)}")
    if age is None and any(line.get(name) for line in lines for name in _AGES):
        raise InputError("normative values", f"{path.name} with ages", "the patient's age", "Add --age YEARS.")
    values: dict[tuple[str, str], NormativeValue] = {}
    for number, line in enumerate(lines, start=2):
        if _holds(line, age, path, number):
            key, value = _value(line, path, number)
            if key in values:
                raise _unusable(path, f"with two values for {key[0]} in {key[1]} at this age (line {number})")
            values[key] = value
    if not values:
        raise _unusable(path, "without a value" if age is None else f"without a value for the age of {age:g} years")
    return Normative(values)


def _holds(line: Mapping[str, str], age: float | None, path: Path, number: int) -> bool:
    if age is None:
        return True
    low, high = (line.get(name, "") for name in _AGES)
    return (not low or _number(low, path, number) <= age) and (not high or age < _number(high, path, number))


def _value(line: Mapping[str, str], path: Path, number: int) -> tuple[tuple[str, str], NormativeValue]:
    if line["map"] not in _MAPS:
        raise _unusable(path, f"with the map '{line['map']}' in line {number}, which is none of {', '.join(_MAPS)}")
    if not line["region"]:
        raise _unusable(path, f"without a region in line {number}")
    mean, sd = (_number(line[name], path, number) for name in ("mean_ppb", "sd_ppb"))
    if sd <= 0:
        raise _unusable(path, f"with the standard deviation {sd:g} in line {number}")
    return (line["region"].casefold(), line["map"]), NormativeValue(mean, sd)


def _number(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _unusable(path, f"with '{text}' in place of a number in line {line}")
    return value


def _unusable(path: Path, why: str) -> InputError:
    return InputError("normative values", f"{path.name}, {why}",
                      "CSV with the columns region, map, mean_ppb, sd_ppb and, if wanted, age_from and age_to",
                      "Susceptibilities are in ppb, chi_dia as a positive magnitude.")  # fmt: skip
