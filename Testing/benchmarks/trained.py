"""Trained networks on held-out simulated patients, beside methods without networks: the χ-sepnet paper's evaluation.

    .venv/bin/python Testing/benchmarks/trained.py --weights NAME_OR_FOLDER [--ablations NAME_OR_FOLDER ...]
        [--folder FOLDER] [--seeds 50 ... 57] [--planted-seeds 50 51] [--reference-ppm 0.3] [--multiples 1 2 5 10]
        [--training-data FOLDER] [--network-options '{"resolution": "best"}'] [--methods NAME ...] [--coarse]

The patients are those of ``patients.py`` with other anatomies (seeds from 50 on, which nothing else uses): made at
0.5 mm by the tests' phantom, their echoes taken through the whole preprocessing. The phantom shares no line of code
with the training's simulation, but it is no independent judge: both take tissue means from the same sources
(``ChiSepPhantoms/tissues.py`` and ``training/anatomy/tissues.py`` agree in nine tissues), both start from nilearn's
MNI template, and both use 114 Hz/ppm at 2.893 T. A network that only learnt these values does well here.

Printed are Table 1 of Kim et al. 2025, region means (Figure 5), the input ablation, lesions by class and size, strong
spheres (also from true maps, since preprocessing may leave the strongest out of its field mask), and what was to be
reached. Maps of χ_para, χ_dia and R2′ are mostly mean: every table of errors has a row for a constant map, and the
NRMSE also without the means. The paper's figures are in vivo against χ-sep-COSMOS and stand beside these as
orientation. ``--ablations`` are sets whose χ-sepnet takes fewer inputs; ``--training-data`` is the folder of heads that
the set was trained on, of which the largest values are read.

With ``--folder`` simulated patients (about 100 MB each) and the figures of each method are kept there and not made
again; figures of networks are kept by their weights' SHA-256 and options. Delete what changed code makes void.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from judged import MEAN_OF_TRUTH, SPIN_ECHO, Case, Row, judge, separates, write_examination
from methods import CONSTANT, alone, takes_constant
from patients import one_of_them
from trained_tables import CONSTANT_MAP, reports

from ChiSepPhantoms import PhantomOptions
from ChiSepPreprocessLib.errors import ChiSepError, InputError
from ChiSepPreprocessLib.files import read_nifti, write_json
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.methods import METHODS, get
from ChiSepReconstructLib.networks.weights.checks import is_plain_name
from ChiSepReconstructLib.networks.weights.store import DATA_VARIABLE, check_networks, find
from ChiSepReconstructLib.networks.weights.weight_set import MANIFEST, WeightSet, read_set

FIRST_SEED = 50
_SEPARATION = ("closed-form", "chi-sep-medi", "chi-sep-ilsqr", "r2star-qsm")
_QSM = ("tkd", "tikhonov", "ilsqr", "medi", "rts", "ndi", "tv")
_PLANTED_METHODS = ("closed-form", "chi-sep-medi")


def main() -> None:
    """Read the command line; bad input ends it with one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="installed set, or folder of one")
    parser.add_argument("--ablations", nargs="*", default=[], help="sets whose χ-sepnet takes fewer inputs")
    parser.add_argument("--folder", type=Path, help="keeps patients and figures, to resume")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(FIRST_SEED, FIRST_SEED + 8)))
    parser.add_argument("--planted-seeds", type=int, nargs="*", default=[FIRST_SEED, FIRST_SEED + 1])
    parser.add_argument("--multiples", type=float, nargs="+", default=[1.0, 2.0, 5.0, 10.0], help="of --reference-ppm")
    parser.add_argument("--reference-ppm", type=float, default=0.3, help="χ of the spheres, not of a training")
    parser.add_argument("--training-data", type=Path, help="heads of the training, for their largest χ")
    parser.add_argument("--methods", nargs="*", default=[*_SEPARATION, *_QSM], choices=_without_networks())
    parser.add_argument("--network-options", type=_json_object, default={}, help='such as {"resolution": "best"}')
    parser.add_argument("--coarse", action="store_true", help="voxels of twice the size, for a quick look")
    try:
        run(parser.parse_args())
    except ChiSepError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None


def _without_networks() -> list[str]:
    known = METHODS.items()
    return [
        name for name, one in known if not one.networks and one.orientations == 1 and "gre_magnitude" not in one.needs
    ]


def _json_object(text: str) -> dict[str, Any]:
    """Parse an option's value."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


def run(chosen: argparse.Namespace) -> None:
    """Everything that the command line asks for."""
    with tempfile.TemporaryDirectory() as scratch:
        patients = {seed: patient_of(seed, chosen.coarse) for seed in (*chosen.seeds, *chosen.planted_seeds)}
        main_set, *ablations = use_weights([chosen.weights, *chosen.ablations], Path(scratch) / "data")
        maxima_ppm = largest_ppm(chosen.training_data) if chosen.training_data else None
        networks = network_cases(main_set, chosen.network_options)
        ablated = [ablation_case(one, chosen.network_options) for one in ablations]
        cases = [*networks, *ablated, *(classical_case(name) for name in chosen.methods), Case("spin echo", SPIN_ECHO),
                 Case(CONSTANT_MAP, MEAN_OF_TRUTH)]  # fmt: skip
        folder = chosen.folder or Path(scratch) / "patients"
        found = {
            f"{seed}: {patients[seed][0]}": rows_of(folder / str(seed), patients[seed][1], cases, None)
            for seed in chosen.seeds
        }
        separating = [one for one in networks if separates(one.method)]
        separating += [classical_case(name) for name in _PLANTED_METHODS if name in chosen.methods]
        separating += [replace(one, title=f"{one.title}, true inputs", inputs="true") for one in separating]
        planted = {
            ppm: [rows_of(folder / f"{seed}-planted-{ppm:g}ppm", patients[seed][1], separating, ppm)
                  for seed in chosen.planted_seeds]
            for ppm in (one * chosen.reference_ppm for one in chosen.multiples)
        }  # fmt: skip
        for text in reports(found, planted, main_set, training_maxima_ppm=maxima_ppm):
            sys.stdout.write(f"{text}\n\n")


def patient_of(seed: int, coarse: bool) -> tuple[str, PhantomOptions]:
    """Title and options of a held-out patient."""
    if seed < FIRST_SEED:
        raise InputError("seeds", seed, f"{FIRST_SEED} or more", "Smaller ones were used to choose defaults.")
    title, options = one_of_them(seed - FIRST_SEED, seed)
    if not coarse:
        return title, options
    (i, j, k), (se_i, se_j, se_k) = options.voxel_size_mm, options.se_voxel_size_mm
    return f"{title}, COARSE", replace(
        options, voxel_size_mm=(2 * i, 2 * j, 2 * k), fine_mm=2 * options.fine_mm,
        se_voxel_size_mm=(2 * se_i, 2 * se_j, 2 * se_k),
    )  # fmt: skip


def largest_ppm(heads: Path) -> tuple[float, float]:
    """Largest true χ_para and χ_dia of a training's heads, ppm.

    Raises
    ------
    InputError
        If the folder has no such heads.
    """
    para, dia = ([float(read_nifti(one)[0].max()) for one in sorted(heads.glob(f"*/truth/chi_{kind}.nii*"))]
                 for kind in ("para", "dia"))  # fmt: skip
    if not para or not dia:
        raise InputError("training data", f"'{heads}' without maps", "NAME/truth/chi_{para,dia}.nii.gz in it")
    return max(para), max(dia)


def use_weights(names: Sequence[str], data: Path) -> list[WeightSet]:
    """Copy sets into a data folder of their own, which this process and those it starts then use.

    A training that goes on cannot change the copies.

    Raises
    ------
    InputError
        If there is none of a name, or a set is broken or meant twice.
    """
    folders = [_weights_folder(name) for name in names]
    for folder in folders:
        target = data / "weights" / folder.name
        if target.exists():
            raise InputError("weights", f"'{folder.name}' twice", "sets of different names")
        shutil.copytree(folder, target)
    os.environ[DATA_VARIABLE] = str(data)
    sets = [find(folder.name) for folder in folders]
    for one in sets:
        check_networks(one, Reporter())
    return sets


def _weights_folder(name: str) -> Path:
    folder = Path(name).resolve()
    if (folder / MANIFEST).is_file():
        read_set(folder)
        return folder
    if not is_plain_name(name):
        raise InputError("weights", f"'{name}'", f"a folder with {MANIFEST}, or the name of an installed set")
    found = find(name)
    return next(iter(found.networks.values())).path.parent


def network_cases(weights: WeightSet, options: Mapping[str, Any]) -> list[Case]:
    """Methods whose networks the set has.

    Raises
    ------
    InputError
        If there is none, or an option is unknown.
    """
    cases = [
        network_case(name, name, weights, options)
        for name, one in METHODS.items()
        if one.networks and _needed(one.networks, weights) <= set(weights.networks)
    ]
    if not cases:
        raise InputError(f"weights '{weights.name}'", f"only {', '.join(weights.networks)}", "networks of one method")
    return cases


def _needed(roles: Sequence[str], weights: WeightSet) -> set[str]:
    """Roles without QSMnet_ME where χ-sepnet takes no QSM."""
    without = "chisepnet" in weights.networks and "chi_total" not in weights.file("chisepnet").inputs
    return {role for role in roles if not (without and "chisepnet" in roles and role == "qsmnet")}


def network_case(title: str, method: str, weights: WeightSet, options: Mapping[str, Any]) -> Case:
    """A method with a set of weights."""
    everything = {**options, "weights": weights.name}
    get(method).options(everything)
    if missing := _needed(get(method).networks, weights) - set(weights.networks):
        raise InputError(f"weights '{weights.name}'", f"no {', '.join(sorted(missing))}", f"what {method} runs")
    return Case(title, method, everything, tuple(sorted(one.sha256 for one in weights.networks.values())))


def ablation_case(weights: WeightSet, options: Mapping[str, Any]) -> Case:
    """χ-sepnet-R2′ with a set whose inputs are fewer."""
    inputs = weights.file("chisepnet").inputs
    return network_case(f"chi-sepnet-r2prime from {', '.join(inputs)}", "chi-sepnet-r2prime", weights, options)


def classical_case(name: str) -> Case:
    """A method without networks, with the simulation's constant."""
    return Case(name, name, CONSTANT if takes_constant(name) else {})


def rows_of(folder: Path, options: PhantomOptions, cases: Sequence[Case], planted_ppm: float | None) -> dict[str, Row]:
    """Figures of every case on one patient by its title; what the folder has is not made again."""
    folder = folder.with_name(f"{folder.name}-{_short(options)}")
    if not folder.exists():
        _say(f"{folder.name}: simulation and preprocessing")
        alone(write_examination, folder, options, planted_ppm)
    rows = {}
    for case in cases:
        file = folder / case.file_name
        if not file.exists():
            _say(f"{folder.name}: {case.title}")
            write_json(file, alone(judge, folder, case, planted_ppm is not None))
        rows[case.title] = json.loads(file.read_text())
    return rows


def _short(options: PhantomOptions) -> str:
    return "x".join(f"{size:g}" for size in options.voxel_size_mm) + "mm"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
