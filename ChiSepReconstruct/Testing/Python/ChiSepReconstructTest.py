"""From maps to susceptibility maps, inside Slicer."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Slicer knows only this file's own folder.
sys.path.append(str(Path(__file__).resolve().parents[3] / "Testing"))

from in_slicer import module_test


class ChiSepReconstructTest(module_test.ModuleTest):
    """The maps of a ball with a sphere in it, whose truth is known."""

    module_name = "ChiSepReconstruct"
    input_name = "mapsFolder"

    def input_folder(self) -> Path:
        """Give a folder of maps."""
        return module_test.write_maps(self.folder)

    def compute(self) -> Mapping[str, Any]:
        """Run the module's computation."""
        return self.logic().run(module_test.write_maps(self.folder), method="closed-form")

    def check(self, values: Mapping[str, Any]) -> None:
        """Compare with the truth."""
        ball, sphere = module_test.ball_and_sphere()
        self.assertGreater(float(values["chi_para"][sphere].mean()), 0.5 * module_test.CHI_PPM)
        self.assertLess(float(np.abs(values["chi_total"][ball & ~sphere]).mean()), 0.1 * module_test.CHI_PPM)
        self.assertGreaterEqual(float(values["chi_dia"].min()), 0.0)
