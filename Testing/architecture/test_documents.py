"""The documents: what they link to is there, and every command line that they show exists."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("README", "TUTORIAL", "TROUBLESHOOTING", "RECIPES", "CONVENTIONS", "RELEASE")
DOCUMENTS = {name: ROOT / ("" if name == "README" else "Resources") / f"{name}.md" for name in NAMES}
SCREENSHOTS = ROOT / "Resources" / "Screenshots"
#: Of one of the tutorial's pictures, and of all of them, bytes.
LARGEST, LARGEST_TOGETHER = 150_000, 1_000_000


def text_of(name: str) -> str:
    """Text of a document."""
    return DOCUMENTS[name].read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of the code blocks."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def without_code(text: str) -> str:
    """Text less its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def links(text: str) -> list[tuple[str, str]]:
    """Path and anchor of each link and picture that leads to no other site."""
    targets = re.findall(r"\]\(<?([^)>\s]+)>?\)", without_code(text))
    local = [one for one in targets if not re.match(r"\w+:", one)]
    return [(path, anchor) for path, _, anchor in (one.partition("#") for one in local)]


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as the forge makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links_and_pictures_lead_somewhere(name: str) -> None:
    for path, anchor in links(text_of(name)):
        target = (DOCUMENTS[name].parent / path).resolve() if path else DOCUMENTS[name]
        assert target.is_relative_to(ROOT) and target.exists(), f"{name}: {path}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name}: {path}#{anchor}"


@pytest.mark.parametrize("name", NAMES)
def test_no_path_of_a_machine(name: str) -> None:
    assert not re.findall(r"(?:/home|/root|/Users|/work|/tmp|/mnt)/\w+|[A-Z]:\\Users", text_of(name))


@cache
def command_line() -> Any:
    """Whole command line as click has it."""
    from typer.main import get_command

    from ChiSeparationLib.cli import app

    return get_command(app)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Command that words name, and the words that are left for it."""
    command, rest = command_line(), words[1:]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"no such command: {shlex.join(words)}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def shown_lines(text: str) -> Iterator[list[str]]:
    """Words of each command line of ours in the code blocks of a shell."""
    for language, content in blocks(text):
        for line in content.replace("\\\n", " ").splitlines() if language in ("", "bash", "sh") else ():
            words = shlex.split(line, comments=True)
            while words and re.match(r"\w+=", words[0]):
                words = words[1:]
            if words and words[0].rpartition("/")[2] == "chisep":
                yield words


@pytest.mark.parametrize("name", NAMES)
def test_command_lines_in_blocks_can_be_parsed(name: str) -> None:
    """Each names a command and its options, and gives all that the command asks for; nothing is run."""
    for words in shown_lines(text_of(name)):
        command, rest = command_of(words)
        context = command.context_class(command, info_name=command.name)
        given, _, _ = command.make_parser(context).parse_args(list(rest))  # an unknown option raises
        lacking = [one.name for one in command.params if one.required and not given.get(one.name)]
        assert not lacking, f"{name}: {shlex.join(words)} lacks {lacking}"


@pytest.mark.parametrize("name", NAMES)
def test_command_lines_within_sentences_name_what_exists(name: str) -> None:
    """They may leave out what does not matter, but not name what is not there."""
    for line in re.findall(r"`(chisep [^`]+)`", without_code(text_of(name)).replace("\n", " ")):
        words = [one for one in line.replace("…", " ").split() if one]
        command, rest = command_of(words)
        known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
        assert {one for one in rest if one.startswith("-")} <= known, f"{name}: {line}"


def test_option_files_within_sentences_are_understood() -> None:
    from ChiSepPreprocessLib.options import from_mapping
    from ChiSepPreprocessLib.preprocess_options import PreprocessOptions
    from ChiSepReconstructLib.methods import get

    files = [json.loads(one) for one in re.findall(r"`(\{.+?\})`", text_of("TROUBLESHOOTING"))]
    assert len(files) >= 3
    for content in files:
        steps = from_mapping(PreprocessOptions, content.pop("preprocess", {}), "options of preprocess")
        chosen = [get(name).options(values) == get(name).options() for name, values in content.items()]
        assert steps != PreprocessOptions() or not all(chosen)  # no file repeats the defaults


def test_keys_of_the_tab_lesions_are_told() -> None:
    source = ROOT / "ChiSeparation" / "ChiSeparationLib" / "gui" / "review" / "shortcuts.py"
    keys = set(re.findall(r'"(Alt\+[A-Z]\w*)"', source.read_text(encoding="utf-8")))
    assert len(keys) >= 5
    assert keys <= set(re.findall(r"Alt\+\w+", text_of("TUTORIAL")))


def test_documents_hold_command_lines() -> None:
    assert sum(len(list(shown_lines(text_of(name)))) for name in NAMES) >= 15


def test_pictures_of_panels_say_what_they_are() -> None:
    """Below each picture of a panel stands that it is of the test host and of simulated data."""
    captions = re.findall(r"!\[[^\]]+\]\(Screenshots/[^)]+\)\n\n\*([^*]+)\*", text_of("TUTORIAL"))
    assert len(captions) == text_of("TUTORIAL").count("![") >= 5
    words = [" ".join(one.lower().split()) for one in captions]
    assert all("test host" in one and "simulated" in one for one in words)


def test_tutorials_pictures_are_small() -> None:
    names = re.findall(r"!\[[^\]]+\]\(Screenshots/([^)]+)\)", text_of("TUTORIAL"))
    sizes = {name: (SCREENSHOTS / name).stat().st_size for name in names}
    assert max(sizes.values()) < LARGEST, sizes
    assert sum(sizes.values()) < LARGEST_TOGETHER, sizes


def test_every_picture_is_shown_somewhere() -> None:
    text = "".join(map(text_of, NAMES))
    assert not [one.name for one in SCREENSHOTS.glob("*.png") if f"Screenshots/{one.name}" not in text]
