"""Small stand-ins for what Slicer's application adds to slicer-core, enough to run the modules' files.

What passes here is tested in the stand-ins, not in Slicer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, get_args, get_type_hints

from host.panel import WIDGETS, child_widget_variables, load_panel

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Record:
    """What the stand-ins were asked to do."""

    errors: list[tuple[str, str]] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    shown: list[Any] = field(default_factory=list)


class Timer:
    """``qt.QTimer`` that a test fires by hand."""

    record: ClassVar[Record]

    def __init__(self) -> None:
        self.active, self.interval_ms, self._slot = False, 0, None
        self.record.timers.append(self)

    def setInterval(self, interval_ms: int) -> None:  # noqa: N802
        self.interval_ms = interval_ms

    def connect(self, signature: str, slot: Any) -> None:
        assert signature == "timeout()"
        self._slot = slot

    def start(self) -> None:
        self.active = True

    def stop(self) -> None:
        self.active = False

    def fire(self) -> None:
        if self.active and self._slot is not None:
            self._slot()


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = SimpleNamespace(addWidget=lambda panel: setattr(self, "panel", panel))

    def resourcePath(self, name: str) -> str:  # noqa: N802
        return str(REPOSITORY / self.moduleName / "Resources" / name)

    def setup(self) -> None:
        pass


class GuiConnector:
    def __init__(self) -> None:
        self._callback: Any = None

    def onChanged(self, callback: Any) -> None:  # noqa: N802
        self._callback = callback
        if callback is None:
            self._disconnect()
        else:
            self._connect()

    def changed(self) -> None:
        if self._callback:
            self._callback()

    def _connect(self) -> None:
        raise NotImplementedError

    def _disconnect(self) -> None:
        raise NotImplementedError


class Choice:
    def __init__(self, choices: tuple[str, ...]) -> None:
        self.choices = choices


class _ComboBoxConnector(GuiConnector):
    def __init__(self, widget: Any, datatype: Any) -> None:
        super().__init__()
        self._widget = widget
        (self._choices,) = (one.choices for one in get_args(datatype) if isinstance(one, Choice))
        widget.clear()
        for choice in self._choices:
            widget.addItem(choice)

    def _connect(self) -> None:
        self._widget.connect("currentIndexChanged(int)", self.changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("currentIndexChanged(int)", self.changed)

    def read(self) -> str:
        return str(self._choices[self._widget.currentIndex])

    def write(self, value: str) -> None:
        self._widget.currentIndex = self._choices.index(value)


class _CheckBoxConnector(GuiConnector):
    def __init__(self, widget: Any, datatype: Any) -> None:
        super().__init__()
        self._widget = widget

    def _connect(self) -> None:
        self._widget.connect("toggled(bool)", self.changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("toggled(bool)", self.changed)

    def read(self) -> bool:
        return bool(self._widget.checked)

    def write(self, value: bool) -> None:
        self._widget.checked = value


_CONNECTORS: list[type[Any]] = []


def _connector(widget: Any, datatype: Any) -> Any:
    plain = (get_args(datatype) or (datatype,))[0]
    if type(widget) is WIDGETS["QComboBox"] and plain is str:
        return _ComboBoxConnector(widget, datatype)
    if type(widget) is WIDGETS["QCheckBox"] and plain is bool:
        return _CheckBoxConnector(widget, datatype)
    for one in _CONNECTORS:
        if one.canRepresent(widget, datatype):
            return one.create(widget, datatype)
    raise RuntimeError(f"no connector between {type(widget).__name__} and {datatype}")


def _register(connector: type[Any]) -> type[Any]:
    _CONNECTORS.append(connector)
    return connector


class _Wrapper:
    """The part of Slicer's parameter node wrapper that the modules use: str, bool and choices."""

    def __init__(self, parameterNode: Any) -> None:  # noqa: N803
        self.__dict__.update(node=parameterNode, hints=get_type_hints(type(self), include_extras=True), connected=[])

    def __getattr__(self, name: str) -> Any:
        plain = (get_args(self.hints[name]) or (self.hints[name],))[0]
        text = self.node.GetParameter(name)
        if not text:
            return self.defaults.get(name, plain())
        return text == "True" if plain is bool else text

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.hints:
            raise AttributeError(name)
        self.node.SetParameter(name, str(value))

    def connectGui(self, gui: Any) -> int:  # noqa: N802
        for widget in vars(gui).values():
            name = widget.property("SlicerParameterName")
            if name:
                connector = _connector(widget, self.hints[name])
                connector.write(getattr(self, name))
                connector.onChanged(lambda name=name, connector=connector: setattr(self, name, connector.read()))
                self.connected.append(connector)
        return 0

    def disconnectGui(self, tag: int) -> None:  # noqa: N802
        for connector in self.connected:
            connector.onChanged(None)
        self.connected.clear()

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:  # noqa: N802
        return int(self.node.AddObserver(event, callback, priority))

    def RemoveObserver(self, tag: int) -> None:  # noqa: N802
        self.node.RemoveObserver(tag)


def _wrap(described: type) -> type:
    names = get_type_hints(described)
    defaults = {name: vars(described)[name] for name in names if name in vars(described)}
    namespace = {"__annotations__": described.__annotations__, "__module__": described.__module__, "defaults": defaults}
    return type(described.__name__, (_Wrapper,), namespace)


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    return module


def _modules(record: Record) -> dict[str, ModuleType]:
    timer = type("QTimer", (Timer,), {"record": record})
    base = {
        "ScriptedLoadableModule": ScriptedLoadableModule,
        "ScriptedLoadableModuleWidget": ScriptedLoadableModuleWidget,
    }
    wrapper = {
        "parameterNodeWrapper": _wrap, "Choice": Choice, "GuiConnector": GuiConnector,
        "parameterNodeGuiConnector": _register,
    }  # fmt: skip
    return {
        "qt": _module("qt", QTimer=timer),
        "ctk": _module("ctk", **{name: kind for name, kind in WIDGETS.items() if name.startswith("ctk")}),
        "slicer.i18n": _module("slicer.i18n", tr=str, translate=lambda context, text: text),
        "slicer.ScriptedLoadableModule": _module("slicer.ScriptedLoadableModule", **base),
        "slicer.parameterNodeWrapper": _module("slicer.parameterNodeWrapper", **wrapper),
    }


#: What imports the stand-ins at file scope, and must be imported afresh with others.
_QT_HALF = ("widget", "computation_widget", "connectors", "parameters")


def _qt_half() -> list[str]:
    """Modules that were imported with the stand-ins in place."""
    files = {"ChiSepPreprocess", "ChiSepReconstruct", "ChiSeparation"}
    return [name for name in sys.modules if name in files or (".gui." in name and name.endswith(_QT_HALF))]


#: Functions of ``slicer.util`` that need the application.
_REPLACED = ("loadUI", "childWidgetVariables", "errorDisplay", "setSliceViewerLayers")


@contextmanager
def slicer_with_stand_ins(scene: Any) -> Iterator[Record]:
    """Let ``slicer`` look like the application's, with ``scene`` as its scene, as long as the block lasts."""
    import slicer
    import slicer.util

    record = Record()
    added = _modules(record)
    kept = {name: getattr(slicer.util, name) for name in _REPLACED}
    sys.modules.update(added)
    slicer.mrmlScene = scene
    slicer.util.loadUI = load_panel
    slicer.util.childWidgetVariables = child_widget_variables
    slicer.util.errorDisplay = lambda text, detailedText="", **_: record.errors.append((text, detailedText))  # noqa: N803
    slicer.util.setSliceViewerLayers = lambda background, fit: record.shown.append(background)
    try:
        yield record
    finally:
        for name, value in kept.items():
            setattr(slicer.util, name, value)
        del slicer.mrmlScene
        for name in (*added, *_qt_half()):
            sys.modules.pop(name, None)
