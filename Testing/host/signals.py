"""Signals as PythonQt connects them: by signature, with strong references, arguments cut to what a function takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .problems import guarded
from .pythonqt_names import CLASSES, names_of
from .raw_qt import QtCore, pointer_of, raw_get

#: Connections by the address of their sender, for Python's own wrapper of it may come and go.
_connections: dict[int, list[Connection]] = {}


@dataclass(frozen=True)
class Connection:
    """One connection: the declared signature, what the module handed over, and what Qt calls."""

    signature: str
    slot: Callable[..., Any]
    called: Callable[..., Any]


class BoundSignal:
    """``button.clicked``: stands for the first declared overload."""

    def __init__(self, sender: Any, name: str) -> None:
        self._sender, self._name = sender, name

    def connect(self, slot: Callable[..., Any]) -> bool:
        """Connect a function."""
        return connect(self._sender, _first_signature(self._sender, self._name), slot)

    def disconnect(self, slot: Callable[..., Any] | None = None) -> bool:
        """Disconnect a function, or all."""
        return disconnect(self._sender, _first_signature(self._sender, self._name), slot)

    def emit(self, *arguments: Any) -> None:
        """Send the signal."""
        raw_get(self._sender, self._name).emit(*arguments)

    __call__ = emit


def connect(sender: Any, signal: str, *target: Any) -> bool:
    """Connect ``signal`` to a function, or to a receiver's slot by its name.

    Raises
    ------
    AttributeError
        If there is no such signal; PythonQt prints a line and goes on.
    """
    slot = target[0] if len(target) == 1 else getattr(target[0], target[1].lstrip("12").split("(")[0])
    if not callable(slot):
        raise TypeError(f"{slot!r} cannot be called")
    signature = _normalized(signal)
    internal = _internal_signature(sender, signature)
    called = _cutting(slot, guarded(f"a slot of {_describe(sender)}, {signature}", slot))
    address = pointer_of(sender)
    if address not in _connections:
        _connections[address] = []
        QtCore.QObject.connect(sender, "2destroyed()", lambda: _connections.pop(address, None))
    _connections[address].append(Connection(signature, slot, called))
    QtCore.QObject.connect(sender, f"2{internal}", called)
    return True


def disconnect(sender: Any, signal: str, slot: Callable[..., Any] | None = None) -> bool:
    """Disconnect a function from a signal, or all functions; false if it was not connected."""
    signature = _normalized(signal)
    internal = _internal_signature(sender, signature)
    known = _connections.get(pointer_of(sender), [])
    matching = [one for one in known if one.signature == signature and slot in (None, one.slot)]
    for one in matching if slot is None else matching[:1]:
        known.remove(one)
        QtCore.QObject.disconnect(sender, f"2{internal}", one.called)
    return bool(matching)


def forget_connections() -> None:
    """Let go of everything that connections hold; for the end of a host."""
    _connections.clear()


def _cutting(slot: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    taken = _positional_count(slot)
    return lambda *arguments: call(*arguments[:taken])


def _positional_count(slot: Callable[..., Any]) -> int | None:
    """How many arguments PythonQt hands to a function; ``None`` for all, as for whatever is not a plain function."""
    function = slot.__func__ if inspect.ismethod(slot) else slot
    if not inspect.isfunction(function) or function.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return function.__code__.co_argcount - int(inspect.ismethod(slot))


def _normalized(signal: str) -> str:
    return bytes(QtCore.QMetaObject.normalizedSignature(signal.lstrip("2"))).decode()


def _describe(sender: Any) -> str:
    return f"{type(sender).__name__} '{raw_get(sender, 'objectName')()}'"


def _listed_class(sender: Any) -> str | None:
    return next((kind.__name__ for kind in type(sender).__mro__ if kind.__name__ in CLASSES), None)


def _first_signature(sender: Any, name: str) -> str:
    for alias in getattr(type(sender), "_signal_aliases", {}):
        if alias.split("(")[0] == name:
            return str(alias)
    meta = sender.metaObject()
    for index in range(meta.methodCount()):
        method = meta.method(index)
        if method.methodType() == QtCore.QMetaMethod.Signal and bytes(method.name()).decode() == name:
            return bytes(method.methodSignature()).decode().replace(",QPrivateSignal", "").replace("QPrivateSignal", "")
    raise AttributeError(f"{_describe(sender)} has no signal '{name}'")


def _internal_signature(sender: Any, signature: str) -> str:
    """Check a signature and translate it to the one by which Qt knows it here."""
    listed = _listed_class(sender)
    known = listed is not None and signature in names_of(listed).signals
    own = type(sender).__name__ != listed and sender.metaObject().indexOfSignal(signature) >= 0
    if not (known or own):
        raise AttributeError(f"{_describe(sender)} has no signal '{signature}'")
    translated = getattr(type(sender), "_signal_aliases", {}).get(signature, signature)
    start = translated[:-1]
    for candidate in (translated, f"{start}{'' if start.endswith('(') else ','}QPrivateSignal)"):
        if sender.metaObject().indexOfSignal(candidate) >= 0:
            return str(candidate)
    raise NotImplementedError(f"the test host does not send {type(sender).__name__}'s signal '{signature}'")
