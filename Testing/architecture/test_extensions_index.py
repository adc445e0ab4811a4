"""The entry for Slicer's Extensions Index, by the rules of its schema and of its own checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from architecture.extension_package import INDEX_ENTRY
from architecture.list_scripts import MODULES, REPOSITORY

SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json#"
)
CMAKE = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def is_tier(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5


#: Version 1.0.2 of the schema; it allows no other key.
REQUIRED: dict[str, Callable[[object], bool]] = {
    "$schema": lambda value: value == SCHEMA,
    "category": is_text,
    "scm_url": is_text,
}
OPTIONAL: dict[str, Callable[[object], bool]] = {
    "scm_revision": is_text,
    "scm_type": lambda value: value in ("git", "local"),
    "build_dependencies": is_list_of_texts,
    "dicom_support_rule": is_text,
    "build_subdirectory": is_text,
    "enabled": lambda value: isinstance(value, bool),
    "tier": is_tier,
}


def broken_rules(entry: dict[str, Any]) -> set[str]:
    """Keys that the schema does not allow, misses, or allows with another value."""
    rules = REQUIRED | OPTIONAL
    wrong = {key for key, value in entry.items() if key not in rules or not rules[key](value)}
    return wrong | (set(REQUIRED) - set(entry))


@pytest.fixture(scope="module")
def entry() -> dict[str, Any]:
    return dict(json.loads((REPOSITORY / INDEX_ENTRY).read_text(encoding="utf-8")))


def metadata(key: str) -> str:
    """A value of the top CMake file, read as the index's checks read it: one quoted string."""
    (value,) = re.findall(rf'set\s*\(EXTENSION_{key}\s*"([^"]+)" *\)', CMAKE)
    return str(value)


def test_entry_keeps_the_schema(entry: dict[str, Any]) -> None:
    assert broken_rules(entry) == set()
    assert b"\r" not in (REPOSITORY / INDEX_ENTRY).read_bytes()


@pytest.mark.parametrize(
    ("key", "value"),
    [("tier", 6), ("tier", True), ("tier", "1"), ("build_dependencies", "PyTorch"), ("build_dependencies", [1]),
     ("homepage", "https://slicer.org"), ("$schema", SCHEMA.replace("1.0.2", "1.0.1")), ("scm_type", "svn"),
     ("category", None), ("enabled", 1)],
)  # fmt: skip
def test_broken_entry_is_noticed(entry: dict[str, Any], key: str, value: object) -> None:
    assert broken_rules(entry | {key: value}) == {key}


@pytest.mark.parametrize("key", REQUIRED)
def test_incomplete_entry_is_noticed(entry: dict[str, Any], key: str) -> None:
    assert broken_rules({name: value for name, value in entry.items() if name != key}) == {key}


def test_names_follow_the_index(entry: dict[str, Any]) -> None:
    name = INDEX_ENTRY.stem
    assert re.findall(r"^project\((\w+)", CMAKE, flags=re.MULTILINE) == [name]
    assert not name.lower().startswith("slicer")
    address = urlsplit(entry["scm_url"])
    assert (address.scheme, address.path.rsplit("/", 1)[1]) == ("https", f"Slicer{name}.git")


def test_description_is_one_or_two_sentences() -> None:
    description = metadata("DESCRIPTION")
    assert 1 <= len(re.findall(r"\.(?:\s|$)", description)) <= 2
    assert description.endswith(".")
    assert len(description) < 300


def test_pictures_lie_where_their_addresses_say(entry: dict[str, Any]) -> None:
    branch = entry["scm_url"].removesuffix(".git").replace("github.com", "raw.githubusercontent.com")
    base = f"{branch}/{entry['scm_revision']}/"
    for address in (metadata("ICONURL"), *metadata("SCREENSHOTURLS").split()):
        assert address.startswith(base)
        data = (REPOSITORY / address.removeprefix(base)).read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")


def test_repository_has_what_every_listed_extension_must_have() -> None:
    assert "Apache License" in (REPOSITORY / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Apache-2.0" in README
    assert "## Papers" in README
    assert re.search(r"!\[.+\]\(Resources/Screenshots/", README)


@pytest.mark.parametrize("module", MODULES)
def test_page_describes_each_module(module: str) -> None:
    assert module in README
