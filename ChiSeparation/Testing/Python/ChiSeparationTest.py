"""From images to susceptibility maps in one go, inside Slicer."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Slicer knows only this file's own folder.
sys.path.append(str(Path(__file__).resolve().parents[3] / "Testing"))

from in_slicer import module_test


class ChiSeparationTest(module_test.ModuleTest):
    """The maps of a ball with a sphere in it, whose truth is known."""

    module_name = "ChiSeparation"

    def compute(self) -> Mapping[str, Any]:
        """Run the module's computation."""
        study = module_test.write_study(self.folder)
        mask = study.parent / "mask" / "brain_mask.nii.gz"
        return self.logic().run(study, mask=mask, method="closed-form")  # networks never saw a ball

    def check(self, values: Mapping[str, Any]) -> None:
        """Compare with the truth."""
        ball, sphere = module_test.ball_and_sphere()
        self.assertGreater(float(values["chi_para"][sphere].mean()), 0.5 * module_test.CHI_PPM)
        self.assertLess(float(np.abs(values["chi_total"][ball & ~sphere]).mean()), 0.1 * module_test.CHI_PPM)
        self.assertGreaterEqual(float(values["chi_dia"].min()), 0.0)
