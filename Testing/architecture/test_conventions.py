"""CONVENTIONS.md says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ChiSeparationLib.lesions.grades import Grade
from ChiSepPreprocessLib.artifacts import ARTIFACTS, Grid, Map, ScanParameters
from ChiSepPreprocessLib.files import sidecar
from ChiSepReconstructLib import methods

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Resources" / "CONVENTIONS.md").read_text(encoding="utf-8")


def table(section: str) -> list[list[str]]:
    """Rows of the first table under a heading, without its header."""
    body = TEXT.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows[2:]]


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


def test_methods_are_the_registered_ones() -> None:
    documented = {row[0]: [name.strip() for name in row[1].split(",")] for row in table("Methods")}
    assert documented == {method.name: list(method.gives) for method in methods.METHODS.values()}


def test_grades_are_the_five_of_the_paper() -> None:
    section = TEXT.split("## Grades\n", 1)[1]
    assert re.findall(r"`([a-z ]+)`", section)[:5] == [grade.value for grade in Grade]
