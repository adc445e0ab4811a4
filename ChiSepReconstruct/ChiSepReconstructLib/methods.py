"""Registry: every method with what it needs, gives, its options and its paper.

A new method is one file in ``solvers/`` with an options class and ``run``, and one entry here.
"""

from __future__ import annotations

import json
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

from .networks import inference
from .networks.options import NetworkOptions
from .networks.weights.store import find
from .networks.weights.weight_set import Role
from .solution import Solution
from .solvers import (
    apart,
    arcs,
    chi_sep_cosmos,
    chi_sep_ilsqr,
    chi_sep_medi,
    closed_form,
    cosmos,
    decompose,
    emmerich,
    ilsqr,
    medi,
    ndi,
    r2star_qsm,
    rts,
    tikhonov,
    tkd,
    tv,
)

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
    orientations : int
        How many head orientations it takes at least.
    networks : tuple of Role
        Roles of the networks that it runs, whose weights must be installed.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    gives: tuple[str, ...]
    options_type: type
    paper: str
    run: Run
    orientations: int = 1
    networks: tuple[Role, ...] = ()

    def options(self, values: Mapping[str, Any] | None = None) -> Any:
        """Options from plain values, as JSON or a command line has them; defaults for the rest.

        Raises
        ------
        InputError
            If a name is unknown or a value out of range.
        """
        return from_mapping(self.options_type, values or {}, f"options of {self.name}")

    def check_weights(self, options: Any) -> None:
        """Find the weights that the method would run with, before hours are spent on its inputs.

        Raises
        ------
        InputError
            If the method runs networks and no set, or not the one that the options name, is installed.
        """
        if self.networks:
            # An ablation of χ-sepnet does without QSM, and with it without QSMnet_ME.
            find(options.weights, [role for role in self.networks if role != "qsmnet"] or self.networks)


_FIELD = ("local_field", "brain_mask")
_REFERENCE = ("field_mask", "csf_mask", "r2star")
_WEIGHTS = ("field_sigma", "magnitude")
_SEPARATED = ("chi_total", "chi_para", "chi_dia")

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
        name="tikhonov",
        title="QSM by Tikhonov's regularisation",
        needs=_FIELD,
        uses=_REFERENCE,
        gives=("chi_total",),
        options_type=tikhonov.TikhonovOptions,
        paper="Bilgic et al., J Magn Reson Imaging 40:181 (2014)",
        run=tikhonov.run,
    ),
    Method(
        name="ilsqr",
        title="QSM by least squares with streaks taken out (iLSQR)",
        needs=_FIELD,
        uses=_REFERENCE,
        gives=("chi_total",),
        options_type=ilsqr.IlsqrOptions,
        paper="Li et al., NeuroImage 108:111 (2015)",
        run=ilsqr.run,
    ),
    Method(
        name="medi",
        title="QSM by morphology-enabled dipole inversion (MEDI+0)",
        needs=_FIELD,
        uses=(*_REFERENCE, *_WEIGHTS),
        gives=("chi_total",),
        options_type=medi.MediOptions,
        paper="Liu et al., NeuroImage 59:2560 (2012); Magn Reson Med 69:467 (2013); Magn Reson Med 79:2795 (2018)",
        run=medi.run,
    ),
    Method(
        name="rts",
        title="QSM by the rapid two-step method",
        needs=_FIELD,
        uses=(*_REFERENCE, *_WEIGHTS),
        gives=("chi_total",),
        options_type=rts.RtsOptions,
        paper="Kames et al., NeuroImage 167:276 (2018)",
        run=rts.run,
    ),
    Method(
        name="ndi",
        title="QSM by nonlinear dipole inversion",
        needs=_FIELD,
        uses=(*_REFERENCE, *_WEIGHTS),
        gives=("chi_total",),
        options_type=ndi.NdiOptions,
        paper="Polak et al., NMR Biomed 33:e4271 (2020)",
        run=ndi.run,
    ),
    Method(
        name="tv",
        title="QSM by total variation",
        needs=_FIELD,
        uses=(*_REFERENCE, *_WEIGHTS),
        gives=("chi_total",),
        options_type=tv.TvOptions,
        paper="Bilgic et al., Magn Reson Med 72:1444 (2014); Milovic et al., Magn Reson Med 80:814 (2018)",
        run=tv.run,
    ),
    Method(
        name="closed-form",
        title="χ-separation voxel by voxel, in closed form",
        needs=(*_FIELD, "r2prime"),
        uses=(*_REFERENCE, *_WEIGHTS),
        gives=_SEPARATED,
        options_type=closed_form.ClosedFormOptions,
        paper="Shin et al., NeuroImage 240:118371 (2021)",
        run=closed_form.run,
    ),
    Method(
        name="chi-sep-medi",
        title="χ-separation with field, R2′ and edges in one objective",
        needs=(*_FIELD, "r2prime"),
        uses=(*_REFERENCE, *_WEIGHTS),
        gives=_SEPARATED,
        options_type=chi_sep_medi.ChiSepMediOptions,
        paper="Shin et al., NeuroImage 240:118371 (2021)",
        run=chi_sep_medi.run,
    ),
    Method(
        name="chi-sep-ilsqr",
        title="χ-separation by iLSQR",
        needs=(*_FIELD, "r2prime"),
        uses=_REFERENCE,
        gives=_SEPARATED,
        options_type=chi_sep_ilsqr.ChiSepIlsqrOptions,
        paper="Shin et al., NeuroImage 240:118371 (2021); Li et al., NeuroImage 108:111 (2015)",
        run=chi_sep_ilsqr.run,
    ),
    Method(
        name="r2star-qsm",
        title="χ-separation from gradient echoes alone (R2*-QSM)",
        needs=(*_FIELD, "r2star"),
        uses=("field_mask", "csf_mask", *_WEIGHTS),
        gives=_SEPARATED,
        options_type=r2star_qsm.R2StarQsmOptions,
        paper="Dimov et al., J Neuroimaging 32:852 (2022); Tomography 8:1544 (2022)",
        run=r2star_qsm.run,
    ),
    Method(
        name="apart",
        title="χ-separation with a decay constant for each voxel (APART-QSM)",
        needs=(*_FIELD, "r2prime"),
        uses=("field_mask", *_WEIGHTS),
        gives=_SEPARATED,
        options_type=apart.ApartOptions,
        paper="Li et al., NeuroImage 274:120148 (2023)",
        run=apart.run,
    ),
    Method(
        name="emmerich",
        title="χ-separation from R2* and field by constrained least squares",
        needs=(*_FIELD, "r2star"),
        uses=("field_mask", "r2prime", *_WEIGHTS),
        gives=_SEPARATED,
        options_type=emmerich.EmmerichOptions,
        paper="Emmerich et al., J Magn Reson 330:107033 (2021)",
        run=emmerich.run,
    ),
    Method(
        name="arcs",
        title="χ-separation from gradient echoes with the scan's own constant (QSM-ARCS)",
        needs=(*_FIELD, "r2star"),
        uses=("field_mask", "csf_mask", *_WEIGHTS),
        gives=_SEPARATED,
        options_type=arcs.ArcsOptions,
        paper="Kan et al., NeuroImage 296:120676 (2024)",
        run=arcs.run,
    ),
    Method(
        name="decompose",
        title="χ-separation by a fit of three pools to the gradient echoes (DECOMPOSE-QSM)",
        needs=(*_FIELD, "gre_magnitude"),
        uses=(*_REFERENCE, *_WEIGHTS),
        gives=_SEPARATED,
        options_type=decompose.DecomposeOptions,
        paper="Chen et al., NeuroImage 242:118477 (2021)",
        run=decompose.run,
    ),
    Method(
        name="qsmnet",
        title="QSM by the network QSMnet_ME",
        needs=_FIELD,
        uses=_REFERENCE,
        gives=("chi_total",),
        options_type=NetworkOptions,
        paper="Kim et al. 2025 (χ-sepnet); Yoon et al., NeuroImage 179:199 (2018)",
        run=inference.run_qsmnet,
        networks=("qsmnet",),
    ),
    Method(
        name="chi-sepnet-r2prime",
        title="χ-separation by networks from gradient and spin echo (χ-sepnet-R2′)",
        needs=(*_FIELD, "r2prime"),
        uses=("field_mask",),
        gives=_SEPARATED,
        options_type=NetworkOptions,
        paper="Kim et al. 2025 (χ-sepnet)",
        run=inference.run_chisepnet_r2prime,
        networks=("qsmnet", "chisepnet"),
    ),
    Method(
        name="chi-sepnet-r2star",
        title="χ-separation by networks from gradient echoes alone (χ-sepnet-R2*)",
        needs=(*_FIELD, "r2star"),
        uses=("field_mask",),
        gives=_SEPARATED,
        options_type=NetworkOptions,
        paper="Kim et al. 2025 (χ-sepnet)",
        run=inference.run_chisepnet_r2star,
        networks=("qsmnet", "r2primenet", "chisepnet"),
    ),
    Method(
        name="cosmos",
        title="QSM from several head orientations",
        needs=_FIELD,
        uses=(*_REFERENCE, *_WEIGHTS),
        gives=("chi_total",),
        options_type=cosmos.CosmosOptions,
        paper="Liu et al., Magn Reson Med 61:196 (2009)",
        run=cosmos.run,
        orientations=2,
    ),
    Method(
        name="chi-sep-cosmos",
        title="χ-separation from several head orientations",
        needs=(*_FIELD, "r2prime"),
        uses=(*_REFERENCE, *_WEIGHTS),
        gives=_SEPARATED,
        options_type=chi_sep_cosmos.ChiSepCosmosOptions,
        paper="Shin et al., NeuroImage 240:118371 (2021); Kim et al. 2025 (χ-sepnet)",
        run=chi_sep_cosmos.run,
        orientations=2,
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
    """Every method as JSON-ready text: what :class:`Method` holds, its options with their defaults."""
    return [
        {
            "name": method.name,
            "title": method.title,
            "needs": list(method.needs),
            "uses": list(method.uses),
            "gives": list(method.gives),
            "orientations": method.orientations,
            "networks": list(method.networks),
            "options": json.loads(json.dumps(asdict(method.options()))),  # tuples as JSON has them
            "paper": method.paper,
        }
        for method in METHODS.values()
    ]
