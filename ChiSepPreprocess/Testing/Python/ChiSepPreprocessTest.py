"""From images to maps, inside Slicer."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Slicer knows only this file's own folder.
sys.path.append(str(Path(__file__).resolve().parents[3] / "Testing"))

from in_slicer import module_test


class ChiSepPreprocessTest(module_test.ModuleTest):
    """The maps of a ball with a sphere in it, whose truth is known."""

    module_name = "ChiSepPreprocess"

    def compute(self) -> Mapping[str, Any]:
        """Run the module's computation."""
        study = module_test.write_study(self.folder)
        return self.logic().run(study, mask=study.parent / "mask" / "brain_mask.nii.gz")

    def check(self, values: Mapping[str, Any]) -> None:
        """Compare with the truth."""
        ball, sphere = module_test.ball_and_sphere()
        field = values["local_field"]
        self.assertAlmostEqual(float(np.median(values["r2star"][ball & ~sphere])), module_test.R2STAR_HZ[0], delta=1.0)
        self.assertAlmostEqual(float(np.median(values["r2star"][sphere])), module_test.R2STAR_HZ[1], delta=2.0)
        inside = values["field_mask"] > 0
        self.assertGreater(float(np.corrcoef(field[inside], module_test.field_ppm()[inside])[0, 1]), 0.9)
