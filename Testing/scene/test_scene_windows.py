"""Windows: units, order, signs and tables agree with the artifact table and with expected values."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ChiSepPreprocessLib.artifacts import ARTIFACTS
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.colors import DIA, DIVERGING, PARA, TABLE_NAMES
from ChiSepPreprocessLib.scene.slice_view import label_count
from ChiSepPreprocessLib.scene.windows import GREY, PRESETS, WindowPreset, has_fixed_unit, preset, presets

EVERY_PRESET = [(name, one) for name, ones in PRESETS.items() for one in ones]
IDENTIFIERS = [f"{name}-{one.name}" for name, one in EVERY_PRESET]


def test_every_map_with_a_fixed_unit_has_a_window_and_nothing_else_has() -> None:
    assert set(PRESETS) == {name for name in ARTIFACTS if has_fixed_unit(name)}


@pytest.mark.parametrize(("name", "one"), EVERY_PRESET, ids=IDENTIFIERS)
def test_presets_agree_with_the_artifact_table(name: str, one: WindowPreset) -> None:
    spec = ARTIFACTS[name]
    assert one.unit == spec.unit
    assert one.color_table in (*TABLE_NAMES, GREY)
    assert (one.minimum == 0.0) if spec.minimum == 0.0 else (one.minimum == -one.maximum)
    assert one.minimum < one.maximum


@pytest.mark.parametrize(("name", "one"), EVERY_PRESET, ids=IDENTIFIERS)
def test_numbers_on_the_legend_are_exact(name: str, one: WindowPreset) -> None:
    # π has no short number, so the legend of the phase has its two ends only.
    count = label_count(one.minimum, one.maximum, one.number_format)
    assert (count == 2) if name == "gre_phase" else (count >= 3)


def test_expected_values_at_3_t_lie_inside_the_right_window() -> None:
    # Regional means in ppm: putamen 0.077, globus pallidus 0.132; posterior limb of the internal capsule 0.052 dia.
    assert preset("chi_para").maximum > 0.077
    assert preset("chi_para", "Iron-rich nuclei").maximum > 0.132
    assert preset("chi_dia").maximum > 0.052
    assert preset("chi_total", "Iron-rich nuclei").maximum > 0.119


def test_signed_maps_diverge_and_parts_have_their_own_table() -> None:
    assert {preset(name).color_table for name in ("chi_total", "local_field", "total_field")} == {DIVERGING}
    assert (preset("chi_para").color_table, preset("chi_dia").color_table) == (PARA, DIA)


def test_preset_names_are_unique_within_a_map() -> None:
    for ones in PRESETS.values():
        assert len({one.name for one in ones}) == len(ones)


def test_magnitudes_and_masks_have_no_fixed_window() -> None:
    assert presets("gre_magnitude") == presets("brain_mask") == ()
    with pytest.raises(InputError, match="found from the data"):
        preset("gre_magnitude")


def test_unknown_names_say_what_is_known() -> None:
    with pytest.raises(InputError, match="chi_para"):
        presets("chi")
    with pytest.raises(InputError, match="Brain, Iron-rich nuclei"):
        preset("r2star", "Heart")


def test_importing_every_module_loads_neither_slicer_nor_vtk() -> None:
    code = (
        "import pkgutil, sys, importlib, ChiSepPreprocessLib.scene as scene\n"
        "for one in pkgutil.iter_modules(scene.__path__): importlib.import_module(f'{scene.__name__}.{one.name}')\n"
        "heavy = {'slicer', 'slicer_core', 'vtk', 'vtkmodules', 'scipy', 'matplotlib', 'torch', 'numba', 'SimpleITK'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_missing_slicer_names_the_package_to_install() -> None:
    code = (
        "import sys; sys.modules['slicer'] = None\n"
        "from ChiSepPreprocessLib.errors import MissingDependencyError\n"
        "from ChiSepPreprocessLib.scene.session import current_scene\n"
        "try: current_scene()\n"
        "except MissingDependencyError as error: assert 'pip install' in str(error) and 'slicer-core' in str(error)\n"
        "else: raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_default_windows_are_the_documented_ones() -> None:
    ranges = {
        name: (preset(name).minimum, preset(name).maximum) for name in ("chi_para", "chi_dia", "chi_total", "r2star")
    }
    assert ranges == {"chi_para": (0.0, 0.1), "chi_dia": (0.0, 0.06), "chi_total": (-0.1, 0.1), "r2star": (0.0, 50.0)}
