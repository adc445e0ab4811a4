"""One held-out patient and what every way to make maps makes of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from lesion_classes import classified_lesions, designed_classes
from methods import INPUTS, timed
from planted import Source, places, plant

from ChiSepPhantoms import Phantom, PhantomOptions, simulate, write_truth
from ChiSepPhantoms.tissues import FIRST_LESION_LABEL, PAPER_RELAXIVITY_HZ_PER_PPM, TISSUES
from ChiSepPreprocessLib.artifacts import Array, MapSet
from ChiSepPreprocessLib.files import read_mapset, read_nifti, write_map
from ChiSepPreprocessLib.pipeline import preprocess
from ChiSepReconstructLib.evaluation.evaluate import evaluate, evaluate_regions, evaluation_mask
from ChiSepReconstructLib.evaluation.metrics import nrmse
from ChiSepReconstructLib.methods import METHODS, get
from ChiSepReconstructLib.pipeline import reconstruct

#: In place of a method's name: R2′ as measured, for comparison.
SPIN_ECHO = "spin-echo"
#: The same: for each map one number, the mean of the true one. What it reaches, any map of the right mean reaches.
MEAN_OF_TRUTH = "mean-of-truth"
#: Of the kept figures; another one where they have other keys or meanings.
_FIGURES = 2
_JUDGED = ("chi_total", "chi_para", "chi_dia", "r2prime")
#: Kind and radius (mm) of the spheres; each patient gets one of each.
_SPHERES = (("para", 4.0), ("dia", 4.0), ("para", 2.0), ("dia", 2.0))
_NO_REGIONS = ("csf", "vein", "scalp", "skull", "soft_tissue")
#: Around a sphere, from its surface, mm; artefacts are looked for there.
_SHELL_MM = (2.0, 8.0)

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One way to make maps: a method of the registry with its options, or a constant of this module.

    ``identity`` tells sets of weights of the same name apart; ``inputs`` are what preprocessing made, or ``true`` maps.
    """

    title: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    inputs: str = "measured"

    @property
    def file_name(self) -> str:
        """Where its figures are kept."""
        known = json.dumps([_FIGURES, self.method, dict(self.options), self.identity, self.inputs], sort_keys=True)
        return f"{self.method}-{hashlib.sha256(known.encode()).hexdigest()[:12]}.json"


def separates(method: str) -> bool:
    return method in METHODS and "chi_para" in METHODS[method].gives


def write_examination(folder: Path, options: PhantomOptions, planted_ppm: float | None) -> None:
    """Simulate a patient, plant spheres if asked, preprocess; the folder appears when it is whole."""
    patient = simulate(options)
    part = folder.with_name(f".part-{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    if planted_ppm is not None:
        patient = plant(patient, spheres(patient, planted_ppm))
    write_truth(patient, part / "truth")
    measured, scan = preprocess(patient.acquisition), patient.acquisition.scan
    kinds = {"measured": measured}
    if planted_ppm is not None:
        kinds["true"] = patient.truth.including(measured["magnitude"])
    for kind, maps in kinds.items():
        for name in (one for one in INPUTS if one in maps):
            write_map(maps[name], scan, part / kind)
    part.rename(folder)


def spheres(patient: Phantom, chi_ppm: float) -> list[Source]:
    """One of each kind and size, at places that do not depend on their susceptibility."""
    centres = places(patient, [radius for _, radius in _SPHERES])
    return [
        Source(kind=kind, chi_ppm=chi_ppm, radius_mm=radius, centre_mm=centre)
        for (kind, radius), centre in zip(_SPHERES, centres, strict=True)
    ]


def judge(folder: Path, case: Case, planted: bool) -> Row:
    """Make one case's maps in this process and hold them against the truth: the spheres, or everything else."""
    maps, truth = read_mapset(folder / case.inputs), read_mapset(folder / "truth")
    make, gives = maker(case, truth)
    seconds, result = timed(lambda: make(maps))
    row: Row = {"seconds": seconds, "gives": list(gives)}
    if planted:
        return {**row, "spheres": list(recovered(result, truth))}
    labels = read_nifti(folder / "truth" / "labels.nii.gz")[0].astype(np.int32)
    row["maps"] = {
        name: {**_in_ppm(one), "nrmse_centred_percent": nrmse_centred(name, result, truth)}
        for name, one in evaluate(result, truth, gives).items()
    }
    row["regions"] = region_means(result, truth, labels, gives)
    if "chi_para" in gives:
        row["lesions"] = classified_lesions(result, truth, labels, designed_classes(folder / "truth"))
    return row


def maker(case: Case, truth: MapSet) -> tuple[Callable[[MapSet], MapSet], tuple[str, ...]]:
    """What makes the maps of a case, and their names."""
    if case.method == SPIN_ECHO:
        return lambda maps: maps, ("r2prime",)
    if case.method == MEAN_OF_TRUTH:
        return lambda maps: means(truth, maps), _JUDGED
    gives = get(case.method).gives
    return lambda maps: reconstruct(maps, method=case.method, options=case.options), gives


def means(truth: MapSet, measured: MapSet) -> MapSet:
    """Every map as the mean of the true one in the voxels that are evaluated, the constant of the least error."""
    constants = []
    for name in _JUDGED:
        mean = truth.array(name)[evaluation_mask(name, measured, truth)[0]].mean(dtype=np.float64)
        data = np.full(truth.grid.shape, mean, dtype=np.float32)
        constants.append(replace(truth[name], data=data, method=MEAN_OF_TRUTH))
    return measured.including(*constants)


def nrmse_centred(name: str, result: MapSet, truth: MapSet) -> float:
    """NRMSE in percent once each map's own mean is taken off, in the voxels that are evaluated: 100 for a constant."""
    mask, _ = evaluation_mask(name, result, truth)
    x, r = (one.array(name)[mask].astype(np.float64) for one in (result, truth))
    return nrmse(x - x.mean(), r - r.mean(), np.ones(x.shape, dtype=np.bool_))


def _in_ppm(metrics: Row) -> Row:
    """Peak signal-to-noise ratio of R2′ as the paper has it: of R2′ over the relaxometric constant, with 1 ppm."""
    if metrics["unit"] == "ppm":
        return metrics
    return {**metrics, "psnr_db": metrics["psnr_db"] + 20 * np.log10(PAPER_RELAXIVITY_HZ_PER_PPM)}


def region_means(
    result: MapSet, truth: MapSet, labels: Array, gives: Sequence[str]
) -> dict[str, dict[str, tuple[float, float]]]:
    """True and estimated mean of each region by map."""
    names = {one.label: name for name, one in TISSUES.items() if name not in _NO_REGIONS}
    regions = np.where((labels < FIRST_LESION_LABEL) & np.isin(labels, list(names)), labels, 0)
    found = evaluate_regions(result, truth, regions, names, gives)
    return {
        key: {true.name: (true.mean, one.mean) for true, one in zip(both.truth or (), both.estimate, strict=True)}
        for key, both in found.items()
    }


def recovered(result: MapSet, truth: MapSet) -> Iterator[Row]:
    """How much of each sphere's susceptibility comes back, and how large the errors around it are."""
    from scipy import ndimage

    labels, size_mm = truth.array("lesions"), truth.grid.voxel_size_mm
    for number, (kind, radius) in enumerate(_SPHERES, 1):
        name = f"chi_{kind}"
        mask, _ = evaluation_mask(name, result, truth)
        sphere = labels == number
        inside, distance = sphere & mask, ndimage.distance_transform_edt(~sphere, sampling=size_mm)
        shell = mask & (distance > _SHELL_MM[0]) & (distance <= _SHELL_MM[1])
        x, r = result.array(name), truth.array(name)
        share = 100 * float(x[inside].mean() / r[inside].mean()) if inside.any() else None
        squares = np.square(x[shell] - r[shell])
        yield {
            "kind": kind, "radius_mm": radius, "recovered_percent": share,
            "lost_percent": 100 * float(1 - inside.sum() / max(sphere.sum(), 1)),
            "error_around_ppb": 1e3 * float(np.sqrt(squares.mean())) if sphere.any() and shell.any() else None,
        }  # fmt: skip
