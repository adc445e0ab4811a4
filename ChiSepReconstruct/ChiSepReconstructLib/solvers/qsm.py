"""QSM as a first step of methods that separate its sources afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.options import check_choice
from ChiSepPreprocessLib.progress import Reporter

from ..solution import Solution
from . import tkd, tv

QsmMethod = Literal["tv", "tkd"]


@dataclass(frozen=True, kw_only=True)
class QsmOptions:
    """How the susceptibility is found from the local field.

    Parameters
    ----------
    method : {"tv", "tkd"}
        By total variation, or by thresholded k-space division, which takes a moment but leaves streaks and noise.
    tv, tkd
        Options of each.
    """

    method: QsmMethod = "tv"
    tv: tv.TvOptions = field(default_factory=tv.TvOptions)
    tkd: tkd.TkdOptions = field(default_factory=tkd.TkdOptions)

    def __post_init__(self) -> None:
        check_choice("QSM method", self.method, QsmMethod)


def quantitative_susceptibility(
    maps: MapSet, mask: NDArray[np.bool_], options: QsmOptions, report: Reporter
) -> Solution:
    """``chi_total`` in ppm, referenced to CSF where it can be found."""
    if options.method == "tv":
        return tv.run(maps, mask, options.tv, report)
    return tkd.run(maps, mask, options.tkd, report)
