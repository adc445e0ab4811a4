"""Options of a method as rows of a table: name, default, choices, explanation. Needs neither Qt nor a scene."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..methods import Method

#: Options that have a place of their own in the panel.
ELSEWHERE = frozenset({"weights", "resolution", "refine", "engine.device"})

_ENTRY = re.compile(r"^(?P<names>\w+(?:, \w+)*) : .*$")


@dataclass(frozen=True)
class OptionField:
    """One option.

    Parameters
    ----------
    name : str
        With the names of the groups that it is in: ``"qsm.method"``.
    kind : type
        As annotated.
    default : object
        Value where none is given.
    explanation : str
        From the docstring.
    """

    name: str
    kind: Any
    default: Any
    explanation: str

    @property
    def choices(self) -> tuple[Any, ...]:
        """Values to choose from; none where any may be written."""
        if self.kind is bool:
            return (False, True)
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()


def fields_of(method: Method) -> tuple[OptionField, ...]:
    """Give the options of a method that the table shows."""
    return tuple(one for one in _fields(method.options(), "") if one.name not in ELSEWHERE)


def _fields(options: Any, prefix: str) -> Iterator[OptionField]:
    kinds, words = get_type_hints(type(options)), _explanations(type(options))
    for one in fields(options):
        value = getattr(options, one.name)
        if is_dataclass(value):
            yield from _fields(value, f"{prefix}{one.name}.")
        else:
            yield OptionField(prefix + one.name, kinds[one.name], value, words.get(one.name, ""))


def _explanations(options_type: type) -> dict[str, str]:
    """Give the text of every parameter in the numpydoc docstrings of a class and its bases."""
    found: dict[str, str] = {}
    for cls in reversed(options_type.__mro__):
        for names, text in _entries(cleandoc(cls.__doc__ or "")):
            found.update(dict.fromkeys(names, text))
    return found


def _entries(text: str) -> Iterator[tuple[list[str], str]]:
    """Give names and text of the entries of a docstring's section of parameters."""
    section = text.partition("Parameters\n----------\n")[2]
    section = re.split(r"\n\n\w+\n-+\n", section)[0]
    names, lines = list[str](), list[str]()
    for line in [*section.splitlines(), "end : of it"]:
        entry = _ENTRY.match(line)
        if entry:
            if names:
                yield names, " ".join(lines)
            names, lines = entry["names"].split(", "), []
        elif line.strip():
            lines.append(line.strip().replace("`", ""))


def as_text(value: Any) -> str:
    """Write a value as the table shows it; nothing for what is left to the program."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value).strip("[]")


def from_text(field: OptionField, text: str) -> Any:
    """Read what the user wrote; what cannot be read is left as text, for the method's own check to refuse."""
    given = text.strip()
    if not given and _takes(field.kind, NoneType):
        return None
    if _takes(field.kind, tuple) and "," in given:
        given = f"[{given.strip('[]')}]"
    elif field.kind is str:
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given


def _takes(kind: Any, wanted: type) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return any(_takes(one, wanted) for one in get_args(kind))
    return kind is wanted or get_origin(kind) is wanted


def changed(content: Mapping[str, Any], field: OptionField, value: Any) -> dict[str, Any]:
    """Options with one more value; the default's takes it out again."""
    *groups, last = field.name.split(".")
    made = json.loads(json.dumps(content))
    levels = [made]
    for group in groups:
        levels.append(levels[-1].setdefault(group, {}))
    levels[-1][last] = value
    if value == json.loads(json.dumps(field.default)):
        del levels[-1][last]
    for parent, group in reversed(list(zip(levels[:-1], groups, strict=True))):
        if not parent[group]:
            del parent[group]
    return dict(made)


def value_of(content: Mapping[str, Any], field: OptionField) -> Any:
    """Value of an option in a method's options, the default if it is not there."""
    value: Any = content
    for part in field.name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return field.default
        value = value[part]
    return value
