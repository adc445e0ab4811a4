"""χ-sepnet and, where it is asked for, the refinement after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Map, MapSet
from ChiSepPreprocessLib.progress import Reporter

from .networks import inference
from .networks.options import NetworkOptions
from .refinement import RefinementOptions, refine
from .solution import Solution

Mask = NDArray[np.bool_]

#: Share of the time that the networks take.
_NETWORKS_SHARE = 0.7


@dataclass(frozen=True, kw_only=True)
class SeparationNetworkOptions(NetworkOptions):
    """Options of both χ-sepnet pipelines.

    Parameters
    ----------
    refine : bool
        Correct what the networks made where field and R2′ clearly contradict it, such as in haemorrhage and
        calcification beyond the range of the training.
    refinement : RefinementOptions
        How; its relaxometric constants are those of the weights unless they are given.
    """

    refine: bool = False
    refinement: RefinementOptions = field(default_factory=RefinementOptions)


def run_chisepnet_r2prime(maps: MapSet, mask: Mask, options: SeparationNetworkOptions, report: Reporter) -> Solution:
    """χ-sepnet-R2′ as :func:`.networks.inference.run_chisepnet_r2prime`, then the refinement."""
    return _refined(inference.run_chisepnet_r2prime, maps, mask, options, report)


def run_chisepnet_r2star(maps: MapSet, mask: Mask, options: SeparationNetworkOptions, report: Reporter) -> Solution:
    """χ-sepnet-R2* as :func:`.networks.inference.run_chisepnet_r2star`, then the refinement."""
    return _refined(inference.run_chisepnet_r2star, maps, mask, options, report)


def _refined(
    run: Callable[[MapSet, Mask, NetworkOptions, Reporter], Solution],
    maps: MapSet, mask: Mask, options: SeparationNetworkOptions, report: Reporter,
) -> Solution:  # fmt: skip
    if not options.refine:
        return run(maps, mask, options, report)
    found = run(maps, mask, options, report.span(0.0, _NETWORKS_SHARE))
    if "r2prime" in found.maps:  # made by R2PRIMEnet
        maps = maps.including(Map(name="r2prime", data=found.maps["r2prime"], grid=maps.grid))
    constants = {f"{sign}_hz_per_ppm": getattr(options.refinement, f"{sign}_hz_per_ppm")
                 or found.record["relaxivity"][f"{sign}_hz_per_ppm"] for sign in ("para", "dia")}  # fmt: skip
    better = refine(maps, mask, found.maps["chi_para"], found.maps["chi_dia"],
                    replace(options.refinement, **constants), report.span(_NETWORKS_SHARE, 1.0))  # fmt: skip
    chi = {"chi_para": better.chi_para, "chi_dia": better.chi_dia, "chi_total": better.chi_para - better.chi_dia}
    record = {**found.record, "refined": {**asdict(options.refinement), **constants, **better.record()}}
    return Solution({**found.maps, **chi}, record, (*found.warnings, *better.warnings))
