"""What the modules' tests inside Slicer share: a study with known truth, and what every module must survive.

``Testing/in_slicer/run.py`` runs them in a real Slicer, ``Testing/panels`` in the test host.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import tempfile
import time
import unittest
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import slicer
import slicer.util

from ChiSepPreprocessLib.artifacts import Array, Grid, Map, ScanParameters
from ChiSepPreprocessLib.files import write_map
from ChiSepPreprocessLib.gui.worker import python_executable
from ChiSepPreprocessLib.quantities import larmor_frequency_hz

#: What the command line imports and Slicer's own Python lacks.
REQUIREMENTS = ("numba", "nibabel", "safetensors", "typer", "rich", "jinja2", "matplotlib")

_VOXELS, _VOXEL_MM = 32, 3.0
GRID = Grid((_VOXELS, _VOXELS, _VOXELS), np.diag([_VOXEL_MM, _VOXEL_MM, _VOXEL_MM, 1.0]))
SCAN = ScanParameters(
    echo_times_s=(0.004, 0.008, 0.012, 0.016, 0.020), field_strength_t=3.0, b0_direction_ijk=GRID.b0_direction_ijk
)
#: Of the ball, and of the sphere in its middle.
R2STAR_HZ = (20.0, 40.0)
CHI_PPM = 0.15
#: How long a panel may take to notice that its computation has ended.
PATIENCE_S = 5.0
_BALL_MM, _SPHERE_MM = 42.0, 9.0


def _distances_mm() -> tuple[Array, Array]:
    """Distance from the middle, and the part of it along B0."""
    axes = (np.indices(GRID.shape) - (_VOXELS - 1) / 2) * _VOXEL_MM
    return np.sqrt((axes**2).sum(axis=0)), axes[2]


def ball_and_sphere() -> tuple[Array, Array]:
    """Masks of a ball like a head, and of the paramagnetic sphere in its middle."""
    distance, _ = _distances_mm()
    return distance < _BALL_MM, distance < _SPHERE_MM


def field_ppm() -> Array:
    """Field of the sphere by its formula: nothing inside, a dipole outside."""
    distance, along = _distances_mm()
    dipole = CHI_PPM / 3 * (_SPHERE_MM / distance) ** 3 * (3 * (along / distance) ** 2 - 1)
    return np.where(ball_and_sphere()[1], 0.0, dipole)


def _write(folder: Path, **maps: Array) -> Path:
    for name, data in maps.items():
        write_map(Map(name=name, data=data, grid=GRID), SCAN, folder)
    return folder


def write_study(folder: Path) -> Path:
    """Write multi-echo magnitude and phase of the ball, and its mask."""
    ball, sphere = ball_and_sphere()
    decay = np.where(sphere, R2STAR_HZ[1], R2STAR_HZ[0])[..., None]
    times = np.array(SCAN.echo_times_s)
    noise = np.random.default_rng(1).normal(0.0, 1.0, (2, *GRID.shape, times.size))
    hertz = field_ppm() * 1e-6 * larmor_frequency_hz(SCAN.field_strength_t)
    signal = (
        500.0 * ball[..., None] * np.exp((2j * np.pi * hertz[..., None] - decay) * times) + noise[0] + 1j * noise[1]
    )
    _write(folder / "mask", brain_mask=ball)
    return _write(
        folder / "gre", gre_magnitude=np.abs(signal).astype(np.float32), gre_phase=np.angle(signal).astype(np.float32)
    )


def write_maps(folder: Path) -> Path:
    """Write the maps that the closed form needs, as the preprocessing would."""
    ball, sphere = ball_and_sphere()
    rate = np.where(sphere, R2STAR_HZ[1], R2STAR_HZ[0]) - 15.0
    return _write(
        folder / "maps", local_field=(field_ppm() * ball).astype(np.float32), brain_mask=ball, field_mask=ball,
        r2prime=(rate * ball).astype(np.float32), magnitude=ball.astype(np.float32),
    )  # fmt: skip


def needs_requirements(test: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a test that computes, with Slicer's Python."""
    missing = [name for name in REQUIREMENTS if importlib.util.find_spec(name) is None]
    return unittest.skipIf(bool(missing), f"Slicer's Python lacks {', '.join(missing)}; see README.md")(test)


def hang(arguments: Sequence[str]) -> list[str]:
    """Give the command of a child that never ends."""
    return [python_executable(), "-c", "import time; time.sleep(600)"]


class ModuleTest(unittest.TestCase):
    """Base of the modules' tests; a subclass says which module, and what its computation must give."""

    module_name: ClassVar[str] = ""
    #: Parameter that must be filled in before a run.
    input_name: ClassVar[str] = "gre"

    def setUp(self) -> None:
        """Start with an empty scene and an empty folder."""
        slicer.mrmlScene.Clear(False)
        self.folder = Path(tempfile.mkdtemp(prefix="chisep test χ "))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(slicer.mrmlScene.Clear, False)

    def logic(self, **options: Any) -> Any:
        """Give the module's logic."""
        library = importlib.import_module(f"{self.module_name}Lib.gui.logic")
        return getattr(library, f"{self.module_name}Logic")(**options)

    def panel(self) -> Any:
        """Open the module and give its panel."""
        slicer.util.selectModule(self.module_name)
        return slicer.util.getModuleWidget(self.module_name)

    def compute(self) -> Mapping[str, Any]:
        """Run the module's computation and give its nodes."""
        raise NotImplementedError

    def check(self, values: Mapping[str, Array]) -> None:
        """Compare the computed maps, indexed (i, j, k), with the truth."""
        raise NotImplementedError

    @needs_requirements
    def test_study_becomes_nodes(self) -> None:
        nodes = self.compute()
        for name, node in nodes.items():
            self.assertIs(node.GetScene(), slicer.mrmlScene, name)
            self.assertIsNotNone(node.GetDisplayNode(), name)
        self.check({name: slicer.util.arrayFromVolume(node).T for name, node in nodes.items()})

    def test_parameters_are_the_scenes(self) -> None:
        logic = self.logic()
        logic.getParameterNode().SetParameter("output", "somewhere")
        self.assertEqual(logic.getParameterNode().GetParameter("output"), "somewhere")
        slicer.mrmlScene.Clear(False)
        again = logic.getParameterNode()
        self.assertIs(again.GetScene(), slicer.mrmlScene)
        self.assertEqual(again.GetAttribute("ModuleName"), self.module_name)
        self.assertEqual(again.GetParameter("output"), "")

    def test_panel_opens_and_reloads(self) -> None:
        panel = self.panel()
        self.assertFalse(panel.ui.runButton.enabled)
        slicer.util.reloadScriptedModule(self.module_name)
        again = self.panel()
        self.assertIsNot(again, panel)
        self.assertEqual(list(panel.Observations), [])
        self.fill_in(again)
        self.assertTrue(again.ui.runButton.enabled)

    def test_closing_the_scene_ends_the_computation(self) -> None:
        panel = self.running_panel()
        slicer.mrmlScene.Clear(False)
        self.assertFalse(panel.ui.cancelButton.enabled)
        self.assertFalse(panel.ui.runButton.enabled)

    def test_cancel_ends_the_computation(self) -> None:
        panel = self.running_panel()
        panel.ui.cancelButton.click()
        give_up_s = time.monotonic() + PATIENCE_S
        while panel.ui.cancelButton.enabled and time.monotonic() < give_up_s:
            slicer.app.processEvents()  # the panel's timer notices the end
        self.assertFalse(panel.ui.cancelButton.enabled)
        self.assertTrue(panel.ui.runButton.enabled)

    def fill_in(self, panel: Any) -> None:
        """Give the panel what it requires."""
        node = panel.parameterNodeClass(panel.logic.getParameterNode())
        setattr(node, self.input_name, str(self.input_folder()))
        give_up_s = time.monotonic() + PATIENCE_S
        while not panel.ui.runButton.enabled and time.monotonic() < give_up_s:
            slicer.app.processEvents()  # a panel may look at the folder first

    def input_folder(self) -> Path:
        """Give a folder that the module's panel accepts."""
        return self.folder

    def running_panel(self) -> Any:
        """Open the module and press Run; the child never ends by itself."""
        panel = self.panel()
        self.addCleanup(setattr, panel, "logic", panel.logic)
        panel.logic = self.logic(command=hang)
        self.fill_in(panel)
        panel.ui.runButton.click()
        self.assertTrue(panel.ui.cancelButton.enabled)
        return panel
