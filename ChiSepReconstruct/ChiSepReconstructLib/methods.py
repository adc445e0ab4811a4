"""Registry: every method with what it needs, gives, its options and its paper.

A new method is one file in ``solvers/`` with an options class and ``run``, and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.progress import Reporter

from .solvers import closed_form, tkd
from .solvers.solution import Solution

#: ``run(maps, mask, options, report)``: maps on one grid, the voxels to solve, the method's options.
Run = Callable[[MapSet, NDArray[np.bool_], Any, Reporter], Solution]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way from maps to susceptibility.

    Parameters
    ----------
    name : str
        For the command line and the record.
    title : str
        For people.
    needs : tuple of str
        Artifacts that it cannot do without.
    uses : tuple of str
        Artifacts that it takes into account if they are there.
    gives : tuple of str
        Artifacts that it makes.
    options_type : type
        Frozen dataclass with published defaults.
    paper : str
        Citation.
    run : callable
        See :data:`Run`.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    gives: tuple[str, ...]
    options_type: type
    paper: str
    run: Run

    def options(self, values: Mapping[str, Any] | None = None) -> Any:
        """Options from plain values, as JSON or a command line has them; defaults for the rest.

        Raises
        ------
        InputError
            If a name is unknown or a value out of range.
        """
        return from_mapping(self.options_type, values or {}, f"options of {self.name}")


_FIELD = ("local_field", "brain_mask")
_REFERENCE = ("field_mask", "csf_mask", "r2star")

_METHODS = (
    Method(
        name="tkd",
        title="QSM by thresholded k-space division",
        needs=_FIELD,
        uses=_REFERENCE,
        gives=("chi_total",),
        options_type=tkd.TkdOptions,
        paper="Shmueli et al., Magn Reson Med 62:1510 (2009); Schweser et al., Magn Reson Med 69:1582 (2013)",
        run=tkd.run,
    ),
    Method(
        name="closed-form",
        title="χ-separation voxel by voxel, in closed form",
        needs=(*_FIELD, "r2prime"),
        uses=_REFERENCE,
        gives=("chi_total", "chi_para", "chi_dia"),
        options_type=closed_form.ClosedFormOptions,
        paper="Shin et al., NeuroImage 240:118371 (2021)",
        run=closed_form.run,
    ),
)

#: Every method by name.
METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _METHODS})


def get(name: str) -> Method:
    """Find a method by name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in METHODS:
        raise InputError("method", repr(name), f"one of {', '.join(METHODS)}")
    return METHODS[name]


def describe() -> list[dict[str, Any]]:
    """Every method as JSON-ready text: name, title, needs, uses, gives, options with their defaults, paper."""
    return [
        {
            "name": method.name,
            "title": method.title,
            "needs": list(method.needs),
            "uses": list(method.uses),
            "gives": list(method.gives),
            "options": asdict(method.options()),
            "paper": method.paper,
        }
        for method in METHODS.values()
    ]
