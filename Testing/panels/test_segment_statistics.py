"""The plugin for Segment Statistics on a real scene, with a stand-in for that module's base class and logic."""

# ruff: noqa: N802, N803, N815 (Slicer's own names)

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import slicer

from ChiSepPreprocessLib.artifacts import Grid, Map
from ChiSepPreprocessLib.scene.nodes import ARTIFACT, add_lesions, add_map

if TYPE_CHECKING:
    from host.running import Host

_TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
_AFFINE = np.eye(4)
_AFFINE[:3, :3] = _TURN @ np.diag([1.0, 1.2, 1.5])
_GRID = Grid((32, 28, 22), _AFFINE)


class PluginBase:
    """What Slicer's SegmentStatisticsPluginBase offers to a plugin, without its widgets."""

    def __init__(self) -> None:
        self.name = self.title = ""
        self.keys: list[str] = []
        self.defaultKeys: list[str] = []
        self.parameterNode: Any = None

    @staticmethod
    def createCodedEntry(value: str, scheme: str, meaning: str, asString: bool = False) -> Any:
        entry = slicer.vtkCodedEntry()
        entry.SetValueSchemeMeaning(value, scheme, meaning)
        return entry.GetAsString() if asString else entry

    def toLongKey(self, key: str) -> str:
        return f"{type(self).__name__}.{key}"

    def setParameterNode(self, node: Any) -> None:
        self.parameterNode = node

    def getParameterNode(self) -> Any:
        return self.parameterNode

    def getRequestedKeys(self) -> list[str]:
        return [key for key in self.keys if self.parameterNode.GetParameter(f"{self.toLongKey(key)}.enabled") == "True"]


class Logic:
    """What registers plugins."""

    registeredPlugins: ClassVar[list[type]] = []

    @staticmethod
    def registerPlugin(plugin: Any) -> None:
        assert isinstance(plugin, PluginBase)
        assert not any("." in key for key in plugin.keys)
        Logic.registeredPlugins.append(type(plugin))


@pytest.fixture
def statistics(host: Host) -> ModuleType:
    """The module under test, which needs Slicer's translations."""
    return import_module("ChiSeparationLib.gui.segment_statistics")


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> type[Logic]:
    """Slicer's module, as far as the plugin sees it."""
    monkeypatch.setattr(Logic, "registeredPlugins", [])
    for name, part in (("SegmentStatistics", {"SegmentStatisticsLogic": Logic}),
                       ("SegmentStatisticsPlugins", {"SegmentStatisticsPluginBase": PluginBase})):  # fmt: skip
        stand_in = ModuleType(name)
        stand_in.__dict__.update(part)
        monkeypatch.setitem(sys.modules, name, stand_in)
    return Logic


def place_mm() -> np.ndarray:
    index = np.indices(_GRID.shape) - (np.array(_GRID.shape) // 2)[:, None, None, None]
    return np.tensordot(_AFFINE[:3, :3], index, axes=1)


def ball(radius_mm: float, x_mm: float = 0.0) -> np.ndarray:
    return np.linalg.norm(place_mm() - np.array([x_mm, 0, 0])[:, None, None, None], axis=0) <= radius_mm


class Bench:
    """A χ map with a lesion of 30 ppb, another of 90, and the plugin's answer."""

    def __init__(self, scene: Any, plugin: Any) -> None:
        self.scene, self.plugin = scene, plugin
        rng = np.random.default_rng(2)
        self.chi_ppb = 17.0 + rng.normal(0, 2.0, _GRID.shape)
        self.labels = np.select([ball(3.0), ball(2.5, 8.0), place_mm()[0] < 0], [1, 2, 3], default=0)
        self.chi_ppb[self.labels == 1] += 13.0
        self.chi_ppb[self.labels == 2] = 90.0
        self.volume = add_map(scene, Map(name="chi_para", data=self.chi_ppb / 1e3, grid=_GRID))
        lesions = Map(name="lesions", data=self.labels.astype(np.int32), grid=_GRID)
        self.segmentation = add_lesions(scene, lesions, folder_name="Lesions")
        node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        node.SetParameter("Segmentation", self.segmentation.GetID())
        node.SetParameter("ScalarVolume", self.volume.GetID())
        plugin.setParameterNode(node)
        self.ask(*plugin.keys)

    def ask(self, *keys: str) -> None:
        for key in self.plugin.keys:
            self.plugin.parameterNode.SetParameter(f"{self.plugin.toLongKey(key)}.enabled", str(key in keys))

    def of(self, number: int) -> dict[str, float]:
        return dict(self.plugin.computeStatistics(self.segmentation.GetSegmentation().GetNthSegmentID(number)))


@pytest.fixture
def bench(statistics: ModuleType, offered: type[Logic], scene: Any) -> Bench:
    assert statistics.register()
    (plugin,) = offered.registeredPlugins
    return Bench(scene, plugin())


def test_values_are_those_of_the_segment_in_ppb(bench: Bench) -> None:
    values, found = bench.chi_ppb.astype(np.float32)[bench.labels == 1], bench.of(0)
    expected = {"mean_ppb": values.mean(), "median_ppb": np.median(values), "sd_ppb": values.std(ddof=1),
                "p10_ppb": np.percentile(values, 10), "p90_ppb": np.percentile(values, 90)}  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-4)  # no segment is called NAWM: no contrast


def test_contrast_is_to_the_segment_called_nawm_from_2_to_5_mm(bench: Bench) -> None:
    core = bench.segmentation.GetSegmentation()
    core.GetNthSegment(2).SetName("NAWM")
    distance = np.linalg.norm(place_mm(), axis=0)
    found = bench.of(0)
    half = bench.chi_ppb[(bench.labels == 3) & (distance < 8.0)]
    assert found["contrast_ppb"] == pytest.approx(13.0, abs=4 * 2.0 / np.sqrt(np.sum(bench.labels == 1)))
    assert found["contrast_sd"] == pytest.approx(found["contrast_ppb"] / half.std(), rel=0.1)
    core.GetNthSegment(2).SetName("Thalamus")
    assert "contrast_ppb" not in bench.of(0)


def test_only_what_is_asked_for_is_computed(bench: Bench) -> None:
    bench.ask("median_ppb")
    assert list(bench.of(1)) == ["median_ppb"] and bench.of(1)["median_ppb"] == pytest.approx(90.0, rel=1e-5)
    bench.ask()
    assert bench.of(1) == {}


def test_other_volumes_and_empty_segments_give_nothing(bench: Bench) -> None:
    empty = bench.segmentation.GetSegmentation().AddEmptySegment("empty", "empty")
    assert bench.plugin.computeStatistics(empty) == {}
    bench.volume.SetAttribute(ARTIFACT, "r2star")
    assert bench.of(0) == {}
    bench.plugin.parameterNode.SetParameter("ScalarVolume", "")
    assert bench.of(0) == {}


def test_measures_say_unit_and_codes(bench: Bench) -> None:
    for key in bench.plugin.keys:
        info = bench.plugin.getMeasurementInfo(key)
        assert info["name"] == key and info["title"] and info["description"]
        assert info["units"] == ("1" if key == "contrast_sd" else "ppb")
        assert "126396" in info["DICOM.QuantityCode"]
        assert ("99CHISEP" in info["DICOM.DerivationCode"]) == key.startswith("contrast")
    assert bench.plugin.getMeasurementInfo("volume") is None


def test_registering_twice_leaves_one_plugin(statistics: ModuleType, offered: type[Logic]) -> None:
    assert statistics.register() and statistics.register()
    assert [one.__name__ for one in offered.registeredPlugins] == ["ChiSegmentStatisticsPlugin"]


def test_without_the_module_nothing_happens(statistics: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SegmentStatistics", None)
    assert not statistics.register()
