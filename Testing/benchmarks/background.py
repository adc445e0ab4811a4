"""Background removal by method: error of the local field, what is left of the background and lost of the local field.

    .venv/bin/python Testing/benchmarks/background.py [--voxel-size-mm 1.4] [--seed 0] [--tilt 12,-5,3]

Simulated. The first table starts from the true total field and the true brain, so that nothing but background removal
counts; the second from the field and the mask that the chain measures, less what it finds unreliable. Errors are in
per cent of the true local field in the brain without CSF and vessels: inside each method's own field mask, and inside
all of them. What is left and what is lost are the responses to the true background and the true local field alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ChiSepPhantoms import Phantom, PhantomOptions, simulate
from ChiSepPhantoms.field import dipole_field_ppm
from ChiSepPreprocessLib.artifacts import Array, Map
from ChiSepPreprocessLib.bgremove.removal import BackgroundOptions
from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions
from ChiSepPreprocessLib.pipeline import PreprocessOptions
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.steps import Run, brain_mask_step, local_field_step, total_field_step
from ChiSepReconstructLib.evaluation.metrics import nrmse

METHODS = {
    "single step (the default)": BackgroundOptions(),
    "V-SHARP, 12 mm": BackgroundOptions(method="v-sharp"),
    "V-SHARP, 20 mm": BackgroundOptions(method="v-sharp", vsharp=VSharpOptions(maximum_radius_mm=20.0)),
    "LBV": BackgroundOptions(method="lbv"),
    "PDF": BackgroundOptions(method="pdf"),
}
Maps = Mapping[str, Map]


@dataclass(frozen=True, eq=False)
class Found:
    """What one method makes of the total field, of its background alone and of its local part alone, ppm."""

    local: Array
    background_left: Array
    local_kept: Array
    field_mask: Array


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxel-size-mm", type=float, default=1.4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tilt", default="12,-5,3", help="rotation of the slab about R, A and S, degrees")
    chosen = parser.parse_args()
    right, anterior, superior = (float(angle) for angle in chosen.tilt.split(","))
    size = chosen.voxel_size_mm
    patient = simulate(PhantomOptions(
        seed=chosen.seed, voxel_size_mm=(size,) * 3, fine_mm=size / 2, tilt_deg=(right, anterior, superior),
        spin_echo=False, flair=False,
    ))  # fmt: skip
    for title, maps in (("True field, true mask", true_maps(patient)), ("Measured field, own mask", measured(patient))):
        sys.stdout.write(f"{title}:\n\n{table(patient, maps)}\n\n")


def true_maps(patient: Phantom) -> Maps:
    """What the chain would find if it measured without error; a given field counts in the brain alone."""
    return {name: replace(patient.truth.maps[name], method="given") for name in ("brain_mask", "total_field")}


def measured(patient: Phantom) -> Maps:
    """What the chain finds by itself, up to background removal."""
    run = Run(patient.acquisition, PreprocessOptions())
    for step in (brain_mask_step, total_field_step):
        run.maps.update({one.name: one for one in step(run, Reporter())})
    return run.maps


def parts(patient: Phantom) -> tuple[Array, Array]:
    """True background and true local field, ppm; around the brain, too, where the truth leaves the latter out."""
    truth, grid = patient.truth, patient.truth.grid
    around = dipole_field_ppm(truth.array("chi_total"), grid.voxel_size_mm, grid.b0_direction_ijk)
    local = np.where(truth.array("brain_mask"), truth.array("local_field"), around)
    return truth.array("total_field") - local, local


def removed(patient: Phantom, maps: Maps, options: BackgroundOptions) -> Found:
    """Local fields by one method, through the chain's own step."""
    total = maps["total_field"].data
    background, local = (np.where(total != 0, part, 0) for part in parts(patient))
    found, field_mask = one_field(patient, maps, total, options)
    left, _ = one_field(patient, maps, background, options)
    kept, _ = one_field(patient, maps, local, options)
    return Found(found, left, kept, field_mask)


def one_field(patient: Phantom, maps: Maps, field_ppm: Array, options: BackgroundOptions) -> tuple[Array, Array]:
    """Local field and field mask of one field."""
    total = replace(maps["total_field"], data=field_ppm)
    run = Run(patient.acquisition, PreprocessOptions(background=options), {**maps, "total_field": total})
    local, valid = local_field_step(run, Reporter())
    return local.data, valid.data


def table(patient: Phantom, maps: Maps) -> str:
    """Markdown, a row for each method."""
    truth = patient.truth
    brain, local = truth.array("brain_mask"), truth.array("local_field")
    tissue = brain & ~truth.array("csf_mask") & ~truth.array("vessel_mask_para")
    found = {name: removed(patient, maps, options) for name, options in METHODS.items()}
    shared = np.logical_and.reduce([tissue, *(one.field_mask for one in found.values())])
    lines = ["| method | NRMSE, % | NRMSE in all masks, % | background left, % | local field lost, % | brain kept, % |",
             "|---" * 6 + "|"]  # fmt: skip
    for name, one in found.items():
        own = tissue & one.field_mask
        errors = (nrmse(one.local, local, own), nrmse(one.local, local, shared),
                  nrmse(local + one.background_left, local, own), nrmse(one.local_kept, local, own))  # fmt: skip
        kept = np.count_nonzero(one.field_mask & brain) / np.count_nonzero(brain)
        lines.append(f"| {name} | " + " | ".join(f"{error:.1f}" for error in errors) + f" | {100 * kept:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
