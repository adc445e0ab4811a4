"""Option dataclasses from plain values, as JSON or a command line has them."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import InputError

Options = TypeVar("Options")

#: No option is meant to be larger, in whatever unit.
_LARGEST = 1e6


def from_mapping(
    options_type: type[Options], values: Mapping[str, Any], quantity: str, base: Options | None = None
) -> Options:
    """Build an option dataclass; what is left out keeps its default, or the value of ``base``.

    Parameters
    ----------
    options_type : type
        Dataclass in which every field has a default; fields that are dataclasses take mappings.
    values : mapping
        By field name.
    quantity : str
        For the error message, such as ``"options of tkd"``.
    base : dataclass, optional
        Of that type.

    Raises
    ------
    InputError
        If a name is unknown, or a value is not of the field's annotated type, not finite or out of range.
    """
    if not isinstance(values, Mapping):
        raise InputError(quantity, repr(values), "a JSON object of option names and values")
    known = {one.name: one for one in fields(options_type)}  # type: ignore[arg-type]
    if unknown := sorted(map(str, set(values) - set(known))):
        raise InputError(quantity, ", ".join(unknown), f"some of {', '.join(known)}")
    start, kinds = options_type() if base is None else base, get_type_hints(options_type)
    built = {
        name: _value(known[name], kinds[name], value, f"{quantity}, {name}", getattr(start, name))
        for name, value in values.items()
    }
    return replace(start, **built)  # type: ignore[type-var]


def check_choice(quantity: str, value: object, choices: Any) -> None:
    """Hold an option against the words that it may be.

    Parameters
    ----------
    quantity : str
        For the error message.
    value : object
        As given.
    choices : Literal type
        Of the allowed words.

    Raises
    ------
    InputError
        If it is none of them.
    """
    if value not in get_args(choices):
        raise InputError(quantity, str(value), f"one of {', '.join(get_args(choices))}")


def _value(field: Field[Any], kind: Any, value: Any, quantity: str, base: Any) -> Any:
    if is_dataclass(kind):
        return from_mapping(kind, value, quantity, base)  # type: ignore[arg-type]
    if not _fits(kind, value):
        # What is optional or empty by default shows no example.
        expected = f"a value like {field.default!r}" if field.default not in (None, ()) else _words(kind)
        raise InputError(quantity, reprlib.repr(value), expected)
    if not all(abs(number) <= _LARGEST for number in _numbers(value)):
        raise InputError(quantity, reprlib.repr(value), f"finite numbers from {-_LARGEST:.0f} to {_LARGEST:.0f}")
    return _as_tuple(value)


def _fits(kind: Any, value: Any) -> bool:
    """Whether a plain value can stand for the annotated type: an int for a float, a list for a tuple."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(part, value) for part in parts)
    if origin is Literal:
        return isinstance(value, tuple({type(part) for part in parts}))
    if origin is tuple:
        is_list = isinstance(value, list | tuple)
        kinds = parts[:1] * len(value) if is_list and parts[-1] is ... else parts
        return is_list and len(value) == len(kinds) and all(map(_fits, kinds, value))
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return isinstance(value, kind)


def _words(kind: Any) -> str:
    """Name an annotated type in the words of JSON."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_words, parts))
    if origin is tuple:
        return f"[{', '.join('...' if part is ... else _words(part) for part in parts)}]"
    return {float: "a number", int: "a whole number", str: "a word", NoneType: "null"}.get(kind, str(kind))


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list | tuple) else value
