"""What the emulated widgets are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .raw_qt import QtCore


def stored(kind: type | str, default: Any, after: str = "") -> Any:
    """Make a property that is only kept, and calls the method named ``after`` when it was set.

    Parameters
    ----------
    kind : type or str
        Of the value; a C++ type by its name.
    default : Any
        Value of a fresh widget.
    after : str
        Name of a method without arguments.
    """
    token = object()

    def get(self: Any) -> Any:
        return self.__dict__.setdefault("_stored", {}).get(token, default)

    def put(self: Any, value: Any) -> None:
        self.__dict__.setdefault("_stored", {})[token] = value
        if after:
            getattr(self, after)()

    return QtCore.Property(kind, get, put)


def forwarded(kind: type, part: str, name: str) -> Any:
    """Make a property that is the property ``name`` of the inner widget kept as ``part``."""

    def get(self: Any) -> Any:
        return getattr(getattr(self, part), name)

    def put(self: Any, value: Any) -> None:
        setattr(getattr(self, part), name, value)

    return QtCore.Property(kind, get, put)


class Observers:
    """VTK observers that go together."""

    def __init__(self) -> None:
        self._held: list[tuple[Any, int]] = []

    def add(self, thing: Any, event: Any, call: Callable[..., Any]) -> None:
        """Observe one more."""
        self._held.append((thing, thing.AddObserver(event, call)))

    def __bool__(self) -> bool:
        """Whether anything is observed."""
        return bool(self._held)

    def remove_all(self) -> None:
        """Stop observing."""
        for thing, tag in self._held:
            thing.RemoveObserver(tag)
        self._held.clear()
