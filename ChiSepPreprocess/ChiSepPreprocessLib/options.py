"""Option dataclasses from plain values, as JSON or a command line has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any, TypeVar

from .errors import InputError

Options = TypeVar("Options")


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
        If a name is unknown, or a value has another type than the default or is out of range.
    """
    if not isinstance(values, Mapping):
        raise InputError(quantity, repr(values), "a JSON object of option names and values")
    known = {one.name: one for one in fields(options_type)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(known)):
        raise InputError(quantity, ", ".join(unknown), f"some of {', '.join(known)}")
    start = options_type() if base is None else base
    built = {
        name: _value(known[name], value, f"{quantity}, {name}", getattr(start, name)) for name, value in values.items()
    }
    return replace(start, **built)  # type: ignore[type-var]


def _value(field: Field[Any], value: Any, quantity: str, base: Any) -> Any:
    if field.default_factory is not MISSING and is_dataclass(field.default_factory):
        return from_mapping(field.default_factory, value, quantity, base)
    default = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[operator]
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        return tuple(value)
    if default is None or _same_kind(default, value):
        return value
    raise InputError(quantity, repr(value), f"a value like {default!r}")


def _same_kind(default: Any, value: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
