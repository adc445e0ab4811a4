"""Registry: every method with what it needs, gives, its options and its paper.

A new method is one file in ``solvers/`` with an options class and ``run``, and one entry here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import check_choice, from_mapping
from ChiSepPreprocessLib.progress import Reporter

from .networks import inference
from .networks.options import NetworkOptions
from .networks.weights.weight_set import Role
from .refined import SeparationNetworkOptions, run_chisepnet_r2prime, run_chisepnet_r2star
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

#: Where methods take R2′ from: the maps as they are, or R2* by the network of that name.
R2PrimeSource = Literal["maps", "r2primenet"]
#: The method that synthesises R2′.
R2PRIMENET = "r2primenet"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way from maps to susceptibility, or to R2′.

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

    @property
    def uses_r2prime(self) -> bool:
        """Whether the maps depend on where R2′ comes from."""
        return "r2prime" in (*self.needs, *self.uses)

    def check_weights(self, options: Any, scan: ScanParameters | None = None) -> None:
        """Find the weights that the method would run with, before hours are spent on its inputs.

        Parameters
        ----------
        options : dataclass instance
            Of the method.
        scan : ScanParameters, optional
            Whose field strength must be that of the weights' training, unless the options say otherwise.

        Raises
        ------
        InputError
            If the method runs networks and no set, or not the one that the options name, is installed or has them; or
            if they were trained at another field strength.
        """
        if self.networks:
            # An ablation of χ-sepnet does without QSM, and with it without QSMnet_ME.
            roles = tuple(role for role in self.networks if role != "qsmnet") or self.networks
            weights = inference.weights_for(options, roles)
            if scan is not None:
                inference.relaxivity_of(weights, scan, options, self.name)


_FIELD = ("local_field", "brain_mask")
_REFERENCE = ("field_mask", "csf_mask", "r2star")
_WEIGHTS = ("field_sigma", "magnitude")
_ALL = (*_REFERENCE, *_WEIGHTS)
_WITHOUT_R2STAR = ("field_mask", "csf_mask", *_WEIGHTS)  # of methods that need it

_SHIN = "Shin et al., NeuroImage 240:118371 (2021)"
_KIM = "Kim et al. 2025 (χ-sepnet)"
_LI = "Li et al., NeuroImage 108:111 (2015)"


def _qsm(name: str, title: str, uses: tuple[str, ...], options_type: type, run: Run, paper: str, **more: Any) -> Method:
    """A method that gives χ_total of the local field."""
    return Method(name=name, title=title, needs=_FIELD, uses=uses, gives=("chi_total",), options_type=options_type,
                  run=run, paper=paper, **more)  # fmt: skip


def _separation(
    name: str, title: str, source: str, uses: tuple[str, ...], options_type: type, run: Run, paper: str, **more: Any
) -> Method:
    """A method that also gives χ_para and χ_dia, of the field and what the magnitude tells, the ``source``."""
    return Method(name=name, title=title, needs=(*_FIELD, source), uses=uses,
                  gives=("chi_total", "chi_para", "chi_dia"), options_type=options_type, run=run, paper=paper,
                  **more)  # fmt: skip


_METHODS = (
    _qsm("tkd", "QSM by thresholded k-space division",
         _REFERENCE, tkd.TkdOptions, tkd.run,
         "Shmueli et al., Magn Reson Med 62:1510 (2009); Schweser et al., Magn Reson Med 69:1582 (2013)"),
    _qsm("tikhonov", "QSM by Tikhonov's regularisation",
         _REFERENCE, tikhonov.TikhonovOptions, tikhonov.run,
         "Bilgic et al., J Magn Reson Imaging 40:181 (2014)"),
    _qsm("ilsqr", "QSM by least squares with streaks taken out (iLSQR)",
         _REFERENCE, ilsqr.IlsqrOptions, ilsqr.run,
         _LI),
    _qsm("medi", "QSM by morphology-enabled dipole inversion (MEDI+0)",
         _ALL, medi.MediOptions, medi.run,
         "Liu et al., NeuroImage 59:2560 (2012); Magn Reson Med 69:467 (2013); Magn Reson Med 79:2795 (2018)"),
    _qsm("rts", "QSM by the rapid two-step method",
         _ALL, rts.RtsOptions, rts.run,
         "Kames et al., NeuroImage 167:276 (2018)"),
    _qsm("ndi", "QSM by nonlinear dipole inversion",
         _ALL, ndi.NdiOptions, ndi.run,
         "Polak et al., NMR Biomed 33:e4271 (2020)"),
    _qsm("tv", "QSM by total variation",
         _ALL, tv.TvOptions, tv.run,
         "Bilgic et al., Magn Reson Med 72:1444 (2014); Milovic et al., Magn Reson Med 80:814 (2018)"),
    _separation("closed-form", "χ-separation voxel by voxel, in closed form",
                "r2prime", _ALL, closed_form.ClosedFormOptions, closed_form.run,
                _SHIN),
    _separation("chi-sep-medi", "χ-separation with field, R2′ and edges in one objective",
                "r2prime", _ALL, chi_sep_medi.ChiSepMediOptions, chi_sep_medi.run,
                _SHIN),
    _separation("chi-sep-ilsqr", "χ-separation by iLSQR",
                "r2prime", _REFERENCE, chi_sep_ilsqr.ChiSepIlsqrOptions, chi_sep_ilsqr.run,
                f"{_SHIN}; {_LI}"),
    _separation("r2star-qsm", "χ-separation from gradient echoes alone (R2*-QSM)",
                "r2star", _WITHOUT_R2STAR, r2star_qsm.R2StarQsmOptions, r2star_qsm.run,
                "Dimov et al., J Neuroimaging 32:852 (2022); Tomography 8:1544 (2022)"),
    _separation("apart", "χ-separation with a decay constant for each voxel (APART-QSM)",
                "r2prime", ("field_mask", *_WEIGHTS), apart.ApartOptions, apart.run,
                "Li et al., NeuroImage 274:120148 (2023)"),
    _separation("emmerich", "χ-separation from R2* and field by constrained least squares",
                "r2star", ("field_mask", "r2prime", *_WEIGHTS), emmerich.EmmerichOptions, emmerich.run,
                "Emmerich et al., J Magn Reson 330:107033 (2021)"),
    _separation("arcs", "χ-separation from gradient echoes with the scan's own constant (QSM-ARCS)",
                "r2star", _WITHOUT_R2STAR, arcs.ArcsOptions, arcs.run,
                "Kan et al., NeuroImage 296:120676 (2024)"),
    _separation("decompose", "χ-separation by a fit of three pools to the gradient echoes (DECOMPOSE-QSM)",
                "gre_magnitude", _ALL, decompose.DecomposeOptions, decompose.run,
                "Chen et al., NeuroImage 242:118477 (2021)"),
    _qsm("qsmnet", "QSM by the network QSMnet_ME",
         _REFERENCE, NetworkOptions, inference.run_qsmnet,
         f"{_KIM}; Yoon et al., NeuroImage 179:199 (2018)", networks=("qsmnet",)),
    _separation("chi-sepnet-r2prime", "χ-separation by networks from gradient and spin echo (χ-sepnet-R2′)",
                "r2prime", ("field_mask", *_WEIGHTS), SeparationNetworkOptions, run_chisepnet_r2prime,
                _KIM, networks=("qsmnet", "chisepnet")),
    _separation("chi-sepnet-r2star", "χ-separation by networks from gradient echoes alone (χ-sepnet-R2*)",
                "r2star", ("field_mask", *_WEIGHTS), SeparationNetworkOptions, run_chisepnet_r2star,
                _KIM, networks=("qsmnet", "r2primenet", "chisepnet")),
    Method(name=R2PRIMENET, title="R2′ from R2* by the network R2PRIMEnet, in place of a measured one",
           needs=("r2star", "brain_mask"), uses=("field_mask",), gives=("r2prime",),
           options_type=NetworkOptions, run=inference.run_r2primenet, paper=_KIM, networks=("r2primenet",)),
    _qsm("cosmos", "QSM from several head orientations",
         _ALL, cosmos.CosmosOptions, cosmos.run,
         "Liu et al., Magn Reson Med 61:196 (2009)", orientations=2),
    _separation("chi-sep-cosmos", "χ-separation from several head orientations",
                "r2prime", _ALL, chi_sep_cosmos.ChiSepCosmosOptions, chi_sep_cosmos.run,
                f"{_SHIN}; {_KIM}", orientations=2),
)  # fmt: skip

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


def check_r2prime_source(source: str, names: Iterable[str]) -> None:
    """Hold a source of R2′ against the methods that are to use it.

    Raises
    ------
    InputError
        If there is no such source, or it is another than the maps and a method uses no R2′.
    """
    check_choice("r2prime_source", source, R2PrimeSource)
    without = [name for name in names if not get(name).uses_r2prime]
    if source != "maps" and without:
        using = ", ".join(one.name for one in METHODS.values() if one.uses_r2prime)
        raise InputError("r2prime_source", f"{source} with {', '.join(without)}",
                         f"methods that use R2′: {using}", "Run the others with R2′ of the maps.")  # fmt: skip


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
