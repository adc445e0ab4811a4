"""``slicer.parameterNodeWrapper``, the part of it that modules here use, with the real behaviour.

Values are stored as Slicer stores them, so a scene saved by the one is read by the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import slicer
import vtk

from . import gui_connectors
from .gui_connectors import PARAMETER_PROPERTY, GuiConnector
from .parameter_types import Choice, Default, Maximum, Minimum, WithinRange, split


@dataclass(frozen=True)
class Parameter:
    """One field of a parameter node."""

    name: str
    datatype: Any
    default: Any

    def is_in(self, node: Any) -> bool:
        """Whether the node has a value."""
        return bool(node.HasParameter(self.name))

    def write(self, node: Any, value: Any) -> None:
        """Store a value that fits."""
        kind, annotations = split(self.datatype)
        for one in annotations:
            if isinstance(one, Choice | Minimum | Maximum | WithinRange):
                one.check(self.name, value)
        if _is_node(kind):
            _require(self.name, value, (kind, type(None)))
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        _require(self.name, value, (int, float) if kind is float else kind)
        node.SetParameter(self.name, str(value))

    def read(self, node: Any) -> Any:
        """Give the value, the default if there is none."""
        if not self.is_in(node):
            self.write(node, self.default)
        kind, _ = split(self.datatype)
        if _is_node(kind):
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        return text == "True" if kind is bool else kind(text)


def _is_node(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def _require(name: str, value: Any, kind: Any) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"parameter '{name}' does not take {value!r}")


_ZEROS: dict[Any, Any] = {str: "", bool: False, int: 0, float: 0.0, Path: Path()}


def _default(described: type, name: str, datatype: Any) -> Any:
    kind, annotations = split(datatype)
    if not _is_node(kind) and kind not in _ZEROS:
        raise NotImplementedError(f"the test host's parameter nodes do not know {datatype} of '{name}'")
    if name in vars(described):
        return vars(described)[name]
    choices = [one.choices[0] for one in annotations if isinstance(one, Choice)]
    named = [one.value for one in annotations if isinstance(one, Default)]
    return [*named, *choices, None if _is_node(kind) else _ZEROS[kind]][0]


class _Wrapper:
    """What the decorator adds to a class."""

    allParameters: dict[str, Parameter]  # noqa: N815
    _is_parameter_node_wrapper = True
    parameterNode: Any  # noqa: N815
    _connected: dict[int, dict[str, GuiConnector]]
    _observers: dict[int, int]
    _showing: bool
    _next_tag: int

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:  # noqa: N803
        if prefix:
            raise NotImplementedError("the test host's parameter nodes take no prefix")
        self.__dict__.update(parameterNode=parameterNode, _connected={}, _observers={}, _showing=False, _next_tag=0)
        for one in self.allParameters.values():
            if not one.is_in(parameterNode):
                one.write(parameterNode, one.default)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.allParameters and name not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no parameter '{name}'")
        object.__setattr__(self, name, value)

    def _parameter(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"{type(self).__name__} has no parameter '{name}'")
        return self.allParameters[name]

    def getValue(self, name: str) -> Any:  # noqa: N802
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:  # noqa: N802
        self._parameter(name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(self._parameter(name).default)

    def dataType(self, name: str) -> Any:  # noqa: N802
        return self._parameter(name).datatype

    def isCached(self, name: str) -> bool:  # noqa: N802
        self._parameter(name)
        return False

    def connectGui(self, gui: Any) -> int:  # noqa: N802
        """Connect every widget that has the property ``SlicerParameterName``."""
        widgets = gui.findChildren("QWidget") if hasattr(gui, "isWidgetType") else vars(gui).values()
        named = {one.property(PARAMETER_PROPERTY): one for one in widgets if one.property(PARAMETER_PROPERTY)}
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:  # noqa: N802
        """Connect widgets by the name of their parameter; the tag is for :meth:`disconnectGui`."""
        connectors = {name: self._connector(name, widget) for name, widget in mapping.items()}
        tag = self._next_tag
        self._next_tag += 1
        self._connected[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._taker(name, connector))
        self._observers[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._show())
        return tag

    def _connector(self, name: str, widget: Any) -> GuiConnector:
        datatype = self._parameter(name).datatype
        return widget if isinstance(widget, GuiConnector) else gui_connectors.create(widget, datatype)

    def _taker(self, name: str, connector: GuiConnector) -> Callable[[], None]:
        def take() -> None:
            if not self._showing:
                self.setValue(name, connector.read())

        return take

    def _show(self) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            for connectors in self._connected.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._showing = False

    def disconnectGui(self, tag: int) -> None:  # noqa: N802
        """Undo a connection; an unknown tag is left alone."""
        for connector in self._connected.pop(tag, {}).values():
            connector.onChanged(None)
        if tag in self._observers:
            self.RemoveObserver(self._observers.pop(tag))

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:  # noqa: N802
        return int(self.parameterNode.AddObserver(event, callback, priority))

    def RemoveObserver(self, tag: int) -> None:  # noqa: N802
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self) -> int:  # noqa: N802
        return int(self.parameterNode.StartModify())

    def EndModify(self, was_modifying: int) -> None:  # noqa: N802
        self.parameterNode.EndModify(was_modifying)

    def Modified(self) -> None:  # noqa: N802
        self.parameterNode.Modified()


def _member(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def _wrap(described: type) -> type:
    hints = get_type_hints(described, include_extras=True)
    parameters = {name: Parameter(name, kind, _default(described, name, kind)) for name, kind in hints.items()}
    reserved = [name for name in hints if hasattr(_Wrapper, name)]
    if reserved:
        raise ValueError(f"reserved names in {described.__name__}: {reserved}")
    kept = {name: value for name, value in vars(described).items() if name not in ("__dict__", "__weakref__")}
    members = {name: _member(name) for name in hints}
    return type(described.__name__, (_Wrapper,), {**kept, **members, "allParameters": parameters})


def parameterNodeWrapper(described: type | None = None) -> Any:  # noqa: N802
    """Make a class whose fields are parameters of a node; with or without brackets."""
    return _wrap if described is None else _wrap(described)


def isParameterNodeWrapper(thing: Any) -> bool:  # noqa: N802
    """Whether a class or object was made by the decorator."""
    return bool(getattr(thing, "_is_parameter_node_wrapper", False))


def make_module() -> ModuleType:
    """Make the module ``slicer.parameterNodeWrapper``."""
    module = ModuleType("slicer.parameterNodeWrapper")
    offered = (
        parameterNodeWrapper, isParameterNodeWrapper, Choice, Default, Minimum, Maximum, WithinRange, GuiConnector,
        gui_connectors.parameterNodeGuiConnector, gui_connectors.Decimals, gui_connectors.SingleStep,
    )  # fmt: skip
    module.__dict__.update({one.__name__: one for one in offered})
    module.__dict__["SlicerParameterNamePropertyName"] = PARAMETER_PROPERTY
    return module
