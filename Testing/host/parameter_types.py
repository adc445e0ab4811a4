"""Annotations of parameter nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin


@dataclass(frozen=True)
class Default:
    """Value of a fresh node."""

    value: Any


class Choice:
    """Value is one of these."""

    def __init__(self, choices: Any) -> None:
        self.choices = list(choices)

    def check(self, name: str, value: Any) -> None:
        """Raise ``ValueError`` for another value."""
        if value not in self.choices:
            raise ValueError(f"parameter '{name}' must be one of {self.choices}, not {value!r}")


@dataclass(frozen=True)
class Minimum:
    """Value is at least this."""

    minimum: float

    def check(self, name: str, value: Any) -> None:
        """Raise ``ValueError`` for a smaller value."""
        if value < self.minimum:
            raise ValueError(f"parameter '{name}' must be at least {self.minimum}, not {value!r}")


@dataclass(frozen=True)
class Maximum:
    """Value is at most this."""

    maximum: float

    def check(self, name: str, value: Any) -> None:
        """Raise ``ValueError`` for a larger value."""
        if value > self.maximum:
            raise ValueError(f"parameter '{name}' must be at most {self.maximum}, not {value!r}")


@dataclass(frozen=True)
class WithinRange:
    """Value lies in a range."""

    minimum: float
    maximum: float

    def check(self, name: str, value: Any) -> None:
        """Raise ``ValueError`` for a value outside."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"parameter '{name}' must lie in {self.minimum} … {self.maximum}, not at {value!r}")


def split(datatype: Any) -> tuple[Any, tuple[Any, ...]]:
    """Separate a type from its annotations."""
    if get_origin(datatype) is Annotated:
        kind, *annotations = get_args(datatype)
        return kind, tuple(annotations)
    return datatype, ()
