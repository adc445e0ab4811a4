"""The two published pipelines, χ-sepnet-R2′ and χ-sepnet-R2*, and QSMnet_ME and R2PRIMEnet alone.

In normalised space, where 0 is what lies outside the brain: local field → QSMnet_ME → QSM; R2* → R2PRIMEnet → R2′
where R2′ was not measured; (QSM, local field, R2′) → χ-sepnet → (χ_para, χ_dia).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet, ScanParameters
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.progress import Reporter

from ..physics.relaxivity import Relaxivity
from ..solution import Solution, referenced_qsm
from .devices import TIME_STEP, has_bfloat16_units, in_words, operations, self_test, start_seconds
from .domain import domain_warnings, relaxivity_for
from .engine import Engine
from .field_of_view import through_network
from .frames import TrainedFrame, trained_frame
from .inversion import inverted
from .options import NetworkOptions
from .resolution import across_resolutions
from .weights.store import find
from .weights.weight_set import CLOSED_FORM, OUTPUTS, START, Role, WeightSet, added_inputs, closed_form, needs_qsm

Mask = NDArray[np.bool_]
Volume = NDArray[np.float32]

_WITHOUT_SPIN_ECHO = ("r2star-qsm", "arcs", "emmerich")
#: By method, those without networks that serve the same end with the same inputs, at any field strength.
INSTEAD: Mapping[str, tuple[str, ...]] = {
    "qsmnet": ("tv", "medi", "rts", "ilsqr", "tkd"),
    "chi-sepnet-r2prime": ("chi-sep-medi", "chi-sep-ilsqr", "apart", "closed-form"),
    "chi-sepnet-r2star": _WITHOUT_SPIN_ECHO,
    "r2primenet": _WITHOUT_SPIN_ECHO,
}

_RATES = ("r2prime", "r2star")

#: In place of a field of exactly 0 inside the brain, which would pass for outside.
_NEARLY_ZERO_PPM = np.float32(1e-12)


def run_qsmnet(maps: MapSet, mask: Mask, options: NetworkOptions, report: Reporter) -> Solution:
    """QSMnet_ME: ``chi_total`` from the local field, referenced to CSF where it can be found.

    References
    ----------
    Kim et al. 2025 (χ-sepnet), section 2.2.2; Yoon et al., NeuroImage 179:199 (2018).
    """
    chain = NetworkChain("qsmnet", maps, mask, options, ("qsmnet",), ("local_field",))
    chain.tell_time(report, ("qsmnet",))
    chi = chain.restored("chi_total", chain.qsm(report.span(0.05, 0.95)))
    report("back to the scan's grid", 0.95)
    chi_ppm = chain.frame.back({"chi_total": chi})["chi_total"]
    report("back to the scan's grid", 1.0)
    return referenced_qsm(maps, mask, chi_ppm, record=chain.record(), warnings=chain.warnings)


def run_chisepnet_r2prime(maps: MapSet, mask: Mask, options: NetworkOptions, report: Reporter) -> Solution:
    """χ-sepnet-R2′: ``chi_para`` and ``chi_dia`` from the local field and R2′, as measured best.

    References
    ----------
    Kim et al. 2025 (χ-sepnet), section 2.2 and figure 1a.
    """
    chain = NetworkChain("chi-sepnet-r2prime", maps, mask, options, ("chisepnet",), ("local_field", "r2prime"))
    return _separated(chain, report)


def run_chisepnet_r2star(maps: MapSet, mask: Mask, options: NetworkOptions, report: Reporter) -> Solution:
    """χ-sepnet-R2*: the same with R2′ that R2PRIMEnet makes of R2*.

    References
    ----------
    Kim et al. 2025 (χ-sepnet), sections 2.2 and 2.2.3 and figure 1b.
    """
    roles: tuple[Role, ...] = ("chisepnet", "r2primenet")
    chain = NetworkChain("chi-sepnet-r2star", maps, mask, options, roles, ("local_field", "r2star"))
    return _separated(chain, report)


def run_r2primenet(maps: MapSet, mask: Mask, options: NetworkOptions, report: Reporter) -> Solution:
    """R2PRIMEnet: ``r2prime`` from R2*, in 1/s at the field strength of the scan, for methods without networks.

    References
    ----------
    Kim et al. 2025 (χ-sepnet), section 2.2.3; its negative values are set to 0, as there.
    """
    chain = NetworkChain("r2primenet", maps, mask, options, ("r2primenet",), ("r2star",))
    chain.tell_time(report, ("r2primenet",))
    image = chain.synthesised_r2prime(report.span(0.05, 0.95))
    report("back to the scan's grid", 0.95)
    found = chain.frame.back({"r2prime": chain.rate_per_s(image)})
    report("back to the scan's grid", 1.0)
    return Solution(found, {**chain.record(), "relaxivity": asdict(chain.relaxivity)}, chain.warnings)


def _separated(chain: NetworkChain, report: Reporter) -> Solution:
    """χ-sepnet on the inputs that it was trained with, and back to the grid of the scan."""
    inputs, is_given = chain.weights.file("chisepnet").inputs, "r2prime" in chain.frame.maps
    made: tuple[Role, ...] = () if is_given else ("r2primenet",)
    chain.tell_time(report, (*(("qsmnet",) if needs_qsm(inputs) else ()), *made, "chisepnet"))
    steps = iter(_spans(report.span(0.05, 0.95), chain.costs(inputs)))
    images: dict[str, Volume] = {}
    if "local_field" in inputs:
        images["local_field"] = chain.given("local_field")
    if needs_qsm(inputs):
        images["chi_total"] = chain.qsm(next(steps))
    images["r2prime"] = chain.given("r2prime") if is_given else chain.synthesised_r2prime(next(steps))
    if CLOSED_FORM[0] in inputs:
        images.update(chain.closed_form(images))
    outputs = chain.through("chisepnet", images, next(steps))
    report("back to the scan's grid", 0.95)
    made_maps = {} if is_given else {"r2prime": chain.rate_per_s(images["r2prime"])}
    found = chain.frame.back(
        {**{name: np.maximum(chain.restored(name, one), 0) for name, one in outputs.items()}, **made_maps}
    )
    found["chi_total"] = found["chi_para"] - found["chi_dia"]
    report("back to the scan's grid", 1.0)
    source = {} if is_given else {"r2prime_source": {"method": "r2primenet"}}  # in its own record otherwise
    record = {**chain.record(), **source, "relaxivity": asdict(chain.relaxivity), "chisepnet_inputs": list(inputs),
              "chi_total_source": "chi_para − chi_dia",
              "reference": {"region": "that of the training's labels, implicitly"}}  # fmt: skip
    return Solution(found, record, chain.warnings)


def _spans(report: Reporter, costs: Sequence[float]) -> list[Reporter]:
    """Parts of a span in proportion to their costs."""
    ends = np.cumsum([0.0, *costs]) / sum(costs)
    return [report.span(float(first), float(last)) for first, last in pairwise(ends)]


def weights_for(options: NetworkOptions, roles: Sequence[Role]) -> WeightSet:
    """The set of weights that the options name, or the preferred one, with networks of all these roles.

    Raises
    ------
    InputError
        If there is none.
    """
    found = find(options.weights, roles)
    for role in roles:
        found.file(role)
    return found


def relaxivity_of(
    weights: WeightSet, scan: ScanParameters, options: NetworkOptions, method: str
) -> tuple[Relaxivity, tuple[str, ...]]:
    """Constant and warnings of :func:`relaxivity_for`, with the methods to take instead if it refuses."""
    return relaxivity_for(weights, scan, other_field_strength=options.other_field_strength, instead=INSTEAD[method])


class NetworkChain:
    """The networks of one set on one brain, in normalised space along the axes of the training.

    Parameters
    ----------
    method : str
        Key of :data:`INSTEAD`.
    maps : MapSet
        On the scan's grid.
    mask : ndarray of bool, shape (I, J, K)
        The voxels to solve.
    options : NetworkOptions
        Weights, resolution, engine.
    roles : tuple of Role
        Networks that the set must have in any case.
    names : tuple of str
        Real maps to bring along.

    Raises
    ------
    InputError
        If the weights are missing, or the field strength is another than theirs.
    """

    def __init__(
        self, method: str, maps: MapSet, mask: Mask, options: NetworkOptions, roles: tuple[Role, ...],
        names: tuple[str, ...],
    ) -> None:  # fmt: skip
        self.weights = weights_for(options, roles)
        self.relaxivity, warnings = relaxivity_of(self.weights, maps.scan, options, method)
        self._warnings = (*warnings, *domain_warnings(self.weights, maps.grid.voxel_size_mm))
        wanted_mm = self.weights.voxel_size_mm if options.resolution == "fast" else None
        chosen = MapSet(maps.grid, maps.scan, {name: maps[name] for name in names})
        self.frame: TrainedFrame = trained_frame(chosen, mask, wanted_mm)
        self._engine, self._used, self._shifts_per_axis = Engine(options.engine), list[Role](), options.shifts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, once the networks have run."""
        return tuple(dict.fromkeys((*self._warnings, *self._engine.warnings)))

    def costs(self, inputs: Sequence[str]) -> tuple[float, ...]:
        """Shares of time of the networks that χ-sepnet with these inputs takes, in the order they run."""
        qsm = (float(self._samplings) if self._shifts else 1.0,) if needs_qsm(inputs) else ()
        return (*qsm, *((1.0,) if "r2star" in self.frame.maps else ()), 1.0)

    @property
    def _samplings(self) -> int:
        """Runs of QSMnet_ME where voxels of its size are made for it."""
        return self._shifts_per_axis**3

    @property
    def _shifts(self) -> bool:
        """Whether QSMnet_ME needs voxels of the training's size made for it."""
        return not self.frame.has_size(self.weights.voxel_size_mm)

    def tell_time(self, report: Reporter, roles: Sequence[Role]) -> None:
        """Report the device, and about how long these networks will take on it."""
        if not self.frame.mask.any():
            return
        edges = [one.stop - one.start for one in bounding_box(self.frame.mask)]
        kept, trained = prod(edges), prod(edges) * prod(self.frame.voxel_size_mm) / prod(self.weights.voxel_size_mm)
        device, wanted = self._engine.device, self._engine.options.precision
        work, start_s = 0.0, 0.0
        for role in roles:
            voxels = self._samplings * trained if role == "qsmnet" and self._shifts else kept
            work += operations(self.weights.file(role).base_width, voxels)
            if START in self.weights.file(role).inputs:
                start_s += start_seconds(voxels, device.name if device.kind == "cuda" else "cpu")
        half = wanted == "bfloat16" or (wanted == "auto" and has_bfloat16_units(device))
        report(TIME_STEP, 0.0, in_words(device, work, self_test(device, "bfloat16" if half else "float32"), start_s))

    def given(self, name: str) -> Volume:
        """One of the maps, normalised; relaxation as the susceptibility that would cause it."""
        data = self.frame.maps.array(name)
        if name in _RATES:
            data = data / np.float32(self.relaxivity.para_hz_per_ppm)
        return self.weights.normalisation[name].normalise(data, self.frame.mask)

    def restored(self, name: str, image: Volume) -> Volume:
        """An output in ppm; 0 outside the mask."""
        return self.weights.normalisation[name].restore(image, self.frame.mask)

    def rate_per_s(self, image: Volume) -> Volume:
        """R2′ in 1/s, ≥ 0, of a normalised one."""
        rate_per_s = self.restored("r2prime", image) * np.float32(self.relaxivity.para_hz_per_ppm)
        return np.maximum(rate_per_s, np.float32(0))

    def qsm(self, report: Reporter) -> Volume:
        """QSM by QSMnet_ME, normalised, which has the zero of its training."""
        network, scale = self.weights.network("qsmnet"), self.weights.normalisation
        self._used.append("qsmnet")

        def infer(field_ppm: Volume, part: Reporter, inside: Mask | None = None) -> Volume:
            inside = field_ppm != 0 if inside is None else inside
            inputs, size_mm = self.weights.file("qsmnet").inputs, self.weights.voxel_size_mm
            return inverted(self._engine, network, inputs, scale, field_ppm, inside, size_mm, part)

        if not self._shifts:
            chi = infer(self.frame.maps.array("local_field"), report, self.frame.mask)
            return scale["chi_total"].normalise(chi, self.frame.mask)
        box = bounding_box(self.frame.mask)
        field_ppm = self.frame.maps.array("local_field")[box]
        field_ppm = np.where(self.frame.mask[box] & (field_ppm == 0), _NEARLY_ZERO_PPM, field_ppm)
        chi = np.zeros(self.frame.mask.shape, dtype=np.float32)
        chi[box] = across_resolutions(
            field_ppm, self.frame.voxel_size_mm, self.weights.voxel_size_mm, infer,
            shifts=self._shifts_per_axis, report=report,
        )  # fmt: skip
        return scale["chi_total"].normalise(chi, self.frame.mask)

    def synthesised_r2prime(self, report: Reporter) -> Volume:
        """R2′ by R2PRIMEnet, normalised; where it is negative, what R2′ = 0 is.

        The paper sets negative values to 0; χ-sepnet never saw any in its training.
        """
        image = self.through("r2primenet", {"r2star": self.given("r2star")}, report)["r2prime"]
        scale = self.weights.normalisation["r2prime"]
        return np.where(self.frame.mask, np.maximum(image, np.float32(-scale.mean / scale.std)), np.float32(0))

    def closed_form(self, images: Mapping[str, Volume]) -> dict[str, Volume]:
        """Both sources by the closed form of normalised QSM and R2′, normalised."""
        found = closed_form(*(self.restored(name, images[name]) for name in ("chi_total", "r2prime")))
        return {name: self.weights.normalisation[name].normalise(one, self.frame.mask) for name, one in found.items()}

    def through(self, role: Role, images: Mapping[str, Volume], report: Reporter) -> dict[str, Volume]:
        """Send images through a network: its inputs in their order, its outputs by artifact, 0 outside the mask."""
        inputs = self.weights.file(role).inputs
        stacked = np.stack([images[name] for name in inputs])
        self._used.append(role)
        network, count = self.weights.network(role), len(OUTPUTS[role])
        added = added_inputs(inputs)
        outputs = through_network(self._engine, network, stacked, self.frame.mask, report, role, count, added)
        return dict(zip(OUTPUTS[role], outputs, strict=True))

    def record(self) -> dict[str, Any]:
        """What was used, JSON-ready."""
        weights, resampled = self.weights, self._shifts
        return {
            "network_weights": {
                "name": weights.name, "title": weights.title, "training_domain": weights.training_domain,
                "licence": weights.licence, "source": weights.source, "field_strength_t": weights.field_strength_t,
                "voxel_size_mm": list(weights.voxel_size_mm),
                "sha256": {role: weights.file(role).sha256 for role in self._used},
                "inputs": {role: list(weights.file(role).inputs) for role in self._used},
            },
            "network_grid": {**self.frame.record(), "qsm_from_shifted_grids": resampled and "qsmnet" in self._used},
            "network_engine": self._engine.record(),
        }  # fmt: skip
