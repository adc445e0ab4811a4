"""The public workflows: what they name is there, and they say that they have not yet run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from architecture.extension_package import INSTALLED
from architecture.list_scripts import REPOSITORY
from ChiSepPreprocessLib.gui.requirements import REQUIRED, SLICERS_OWN

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
SLICER = (REPOSITORY / ".github" / "workflows" / "slicer.yml").read_text(encoding="utf-8")


def test_workflows_are_the_known_ones() -> None:
    assert [one.name for one in WORKFLOWS] == ["slicer.yml", "tests.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_of_a_named_version_and_see_no_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert [one for one in used if not re.fullmatch(r"actions/[\w-]+@v\d+", one)] == []
    assert "secrets" not in text
    assert "permissions:\n  contents: read\n" in text


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_files_of_the_repository_are_there(path: Path) -> None:
    named = set(re.findall(r"(?:Testing|\.ci)/[\w./]+\w", path.read_text(encoding="utf-8")))
    assert named
    assert [one for one in named if not (REPOSITORY / one).exists()] == []


def test_slicer_is_the_oldest_supported_one_and_the_present_one() -> None:
    (versions,) = re.findall(r'slicer: \["([\d.]+)", "([\d.]+)"\]', SLICER)
    assert [version.rsplit(".", 1)[0] for version in versions] == ["5.10", "5.12"]
    assert f"--modules installed/{INSTALLED}" in SLICER


def test_slicer_gets_the_packages_that_it_lacks() -> None:
    names = [re.split(r"[<>=]", one)[0] for one in REQUIRED]
    (told,) = re.findall(r"-m pip install (?!--)(.*)", SLICER)
    assert sorted(told.split()) == sorted(set(names) - set(SLICERS_OWN) - {"torch"})
