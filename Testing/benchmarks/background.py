"""What V-SHARP leaves of the background and takes of the local field, by its largest radius (simulated).

    .venv/bin/python Testing/benchmarks/background.py [--voxel-size-mm 1.4]

True fields and the true brain mask go in, so that nothing but background removal is measured.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from ChiSepPhantoms import PhantomOptions, simulate
from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions, vsharp
from ChiSepPreprocessLib.progress import Reporter

RADII_MM = (4.0, 8.0, 12.0, 16.0, 20.0)


def main() -> None:
    """Print errors in per cent of the local field, brain without CSF and vessels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxel-size-mm", type=float, default=1.4)
    size = parser.parse_args().voxel_size_mm
    options = PhantomOptions(
        voxel_size_mm=(size,) * 3, fine_mm=size / 2, tilt_deg=(12.0, -5.0, 3.0), spin_echo=False, flair=False
    )
    truth = simulate(options).truth
    local, brain = truth.array("local_field"), truth.array("brain_mask")
    background = truth.array("total_field") - local
    tissue = brain & ~truth.array("csf_mask") & ~truth.array("vessel_mask_para")
    sys.stdout.write(
        "| largest radius, mm | background left, % | local field lost, % | voxels kept, % |\n|---|---|---|---|\n"
    )
    for radius_mm in RADII_MM:
        chosen = VSharpOptions(maximum_radius_mm=radius_mm)
        left, valid = vsharp(background, brain, truth.grid.voxel_size_mm, chosen, Reporter())
        kept, _ = vsharp(local, brain, truth.grid.voxel_size_mm, chosen, Reporter())
        inside = tissue & valid
        whole = np.linalg.norm(local[inside])
        errors = (np.linalg.norm(left[inside]) / whole, np.linalg.norm((kept - local)[inside]) / whole)
        share = np.count_nonzero(valid) / np.count_nonzero(brain)
        sys.stdout.write(f"| {radius_mm:g} | {100 * errors[0]:.1f} | {100 * errors[1]:.1f} | {100 * share:.0f} |\n")


if __name__ == "__main__":
    main()
