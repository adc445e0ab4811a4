"""What PythonQt offers of each class: properties, other methods, signals; from ``class_names.json``.

Of Qt's classes the file holds the names that PythonQt 4.1 (Qt 5.15) and Qt 6 share, of ctk's and Slicer's classes the
properties, public slots, invokable methods and signals of their headers (Slicer 5.13). A name that is missing there
must be looked up before it is added. Nothing here needs Qt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Names:
    """Names of one class, without those of its bases.

    Parameters
    ----------
    base : str
        The class it extends; empty at the root.
    properties, methods, signals, constants : frozenset of str
        Signals with their normalised signature.
    """

    base: str
    properties: frozenset[str]
    methods: frozenset[str]
    signals: frozenset[str]
    constants: frozenset[str] = frozenset()

    @property
    def signal_names(self) -> frozenset[str]:
        """Signals without their arguments."""
        return frozenset(one.split("(")[0] for one in self.signals)

    @property
    def attributes(self) -> frozenset[str]:
        """Everything that can be written after a dot."""
        return self.properties | self.methods | self.signal_names | self.constants


def _words(entry: dict[str, str], kind: str) -> frozenset[str]:
    return frozenset(entry.get(kind, "").split())


def _read(path: Path) -> dict[str, Names]:
    kinds = ("properties", "methods", "signals", "constants")
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: Names(one.get("base", ""), *(_words(one, kind) for kind in kinds)) for name, one in content.items()}


CLASSES = _read(Path(__file__).with_name("class_names.json"))


@cache
def names_of(class_name: str) -> Names:
    """Names of a class together with those of its bases; raises ``KeyError`` for a class that is not listed."""
    own = CLASSES[class_name]
    if not own.base:
        return own
    base = names_of(own.base)
    return Names(
        own.base,
        own.properties | base.properties,
        own.methods | base.methods,
        own.signals | base.signals,
        own.constants | base.constants,
    )
