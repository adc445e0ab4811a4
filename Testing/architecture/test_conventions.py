"""CONVENTIONS.md says what the code says."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from ChiSeparationLib.lesions.grades import Grade
from ChiSepPreprocessLib.artifacts import ARTIFACTS, Grid, Map, ScanParameters
from ChiSepPreprocessLib.files import sidecar
from ChiSepPreprocessLib.preprocess_options import PreprocessOptions
from ChiSepPreprocessLib.quality.record import QualityRecord
from ChiSepReconstructLib import methods

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Resources" / "CONVENTIONS.md").read_text(encoding="utf-8")


def table(section: str) -> list[list[str]]:
    """Rows of the first table under a heading, without its header."""
    body = TEXT.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows[2:]]


def names_beside(header: str) -> dict[str, list[str]]:
    """The first two columns of the table whose first column is headed so, the second taken apart at commas."""
    lines = TEXT.split(f"\n| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    cells = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]
    return {first: second.removeprefix("each: ").split(", ") for first, second, *_ in cells}


def options_of(name: str, options: Any) -> dict[str, list[str]]:
    """Names of the plain fields of a dataclass of options, and of those in it."""
    nested = {one.name: getattr(options, one.name) for one in fields(options)}
    found = {name: [key for key, value in nested.items() if not is_dataclass(value)]}
    for key, value in nested.items():
        found |= options_of(f"{name}.{key}", value) if is_dataclass(value) else {}
    return found


def test_artifact_table_equals_the_dataclasses() -> None:
    expected = [
        [s.name, s.unit, s.axes, s.kind.value, "" if s.minimum is None else f"{s.minimum:g}", s.meaning]
        for s in ARTIFACTS.values()
    ]
    assert table("Artifacts") == expected


def test_sidecar_keys_are_the_documented_ones() -> None:
    listed = re.search(r"Keys of a sidecar: (.+?)\.\n", TEXT, re.DOTALL)
    assert listed is not None
    grid = Grid((1, 1, 1), np.eye(4))
    scan = ScanParameters(echo_times_s=(0.01,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    one = Map(name="r2", data=np.zeros((1, 1, 1), np.float32), grid=grid)
    assert re.findall(r"`(\w+)`", listed[1]) == list(sidecar(one, scan))


def test_option_tables_equal_the_dataclasses() -> None:
    assert names_beside("options of") == options_of("preprocess", PreprocessOptions())


def test_quality_table_equals_the_record() -> None:
    documented = names_beside("part of `quality`")
    parts, plain = {}, []
    for name, kind in get_type_hints(QualityRecord).items():
        part = next((one for one in (kind, *get_args(kind)) if is_dataclass(one)), None)
        if part is None:
            plain.append(name)
        else:
            parts[name] = [one.name for one in fields(part)]
    assert documented.pop(", ".join(plain))
    assert documented == parts


def test_methods_are_the_registered_ones() -> None:
    documented = {row[0]: [name.strip() for name in row[1].split(",")] for row in table("Methods")}
    assert documented == {method.name: list(method.gives) for method in methods.METHODS.values()}


def test_grades_are_the_five_of_the_paper() -> None:
    section = TEXT.split("## Grades\n", 1)[1]
    assert re.findall(r"`([a-z ]+)`", section)[:5] == [grade.value for grade in Grade]
