"""Multi-echo scans are offered to Slicer's DICOM module as one loadable each, and load as sequences."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.loading import load_acquisition, load_spin_echo
from ChiSepPreprocessLib.scene.acquisition_nodes import acquisition_from_nodes
from ChiSepPreprocessLib.scene.dicom_loadables import Kind, Offer, files_behind, load_offer, offers
from ChiSepPreprocessLib.scene.session import load_slicer
from ChiSepPreprocessLib.scene.volumes import array_from_node, grid_from_node
from dicom_writer_for_tests import (
    Array,
    EnhancedFrame,
    Slab,
    Style,
    philips_styles,
    siemens_styles,
    write_enhanced,
    write_volume,
)

PLUGIN = Path(__file__).resolve().parents[2] / "ChiSepPreprocess" / "ChiSepMultiEchoPlugin.py"
SLAB = Slab(shape=(9, 11, 8))
TIMES_MS = (4.07, 8.14, 12.21)
SPIN_ECHO = Style(scanning="SE", sequence_name="*se2d", series="1.2.3.1.7", repetition_ms=3000.0, echo_train=2)
SPIN_TIMES_MS = (12.0, 90.0)

#: Files by series, as Slicer's DICOM module hands them over.
Lists = list[list[str]]


def _stored(seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 4096, SLAB.shape)


def _write(folder: Path, style: Style, times_ms: Sequence[float], slab: Slab = SLAB) -> list[str]:
    """Write a series; its description names nobody."""
    paths = [path for n, time in enumerate(times_ms) for path in write_volume(folder, style, slab, time, _stored(n))]
    for path in paths:
        image = dcmread(path)
        image.SeriesDescription = "gre_me3"
        image.save_as(path)
    return [str(path) for path in paths]


@pytest.fixture
def gre(tmp_path: Path) -> Lists:
    return [_write(tmp_path / str(n), style, TIMES_MS) for n, style in enumerate(siemens_styles())]


@pytest.fixture
def spin_echo(tmp_path: Path) -> Lists:
    return [_write(tmp_path / "se", SPIN_ECHO, SPIN_TIMES_MS)]


def _flat(lists: Lists) -> list[str]:
    return [file for files in lists for file in files]


def _paths(lists: Lists) -> list[Path]:
    return [Path(file) for file in _flat(lists)]


def _damage(file: str, keep: int) -> None:
    Path(file).write_bytes(Path(file).read_bytes()[:keep])


def test_whole_scans_are_offered_once_each(gre: Lists, spin_echo: Lists) -> None:
    first, second = offers([*gre, *spin_echo])
    assert first == Offer(
        kind=Kind.GRE,
        files=tuple(_flat(gre)),
        name="gre_me3: Multi-echo GRE (magnitude + phase)",
        tooltip="gre magnitude+phase, 9×11×8, echo times 4.07, 8.14, 12.21 ms; "
        "loaded as sequences indexed by echo time",
        warning="",
        selected=True,
        confidence=0.95,
    )
    assert (second.kind, second.files, second.warning) == (Kind.SPIN_ECHO, tuple(spin_echo[0]), "")
    assert second.name == "gre_me3: Multi-echo spin echo"


def test_magnitude_and_phase_in_one_series(tmp_path: Path) -> None:
    files = [file for n, style in enumerate(philips_styles()) for file in _write(tmp_path / str(n), style, TIMES_MS)]
    (offer,) = offers([files])
    assert (offer.kind, set(offer.files), offer.selected) == (Kind.GRE, set(files), True)


def test_enhanced_file(tmp_path: Path) -> None:
    frames = [
        EnhancedFrame(part, time, k, _stored(k)[:, :, k])
        for part in ("MAGNITUDE", "PHASE") for time in TIMES_MS for k in range(8)
    ]  # fmt: skip
    write_enhanced(tmp_path / "enhanced", Style(scanning=None), SLAB, frames)
    (offer,) = offers([[str(tmp_path / "enhanced")]])
    assert (offer.kind, offer.files) == (Kind.GRE, (str(tmp_path / "enhanced"),))


def test_scans_of_two_patients_stay_apart(gre: Lists, tmp_path: Path) -> None:
    other = Style(patient_id="P-4712", study="1.2.3.2", series="1.2.3.2.1")
    others = [_write(tmp_path / f"o{n}", style, TIMES_MS) for n, style in enumerate(siemens_styles(other))]
    assert [set(offer.files) for offer in offers([*gre, *others])] == [set(_flat(gre)), set(_flat(others))]


def test_missing_phase_is_warned_about(gre: Lists) -> None:
    (offer,) = offers(gre[:1])
    assert offer.kind is Kind.GRE_MAGNITUDE
    assert offer.warning == "The phase is missing: export the phase images of this scan and add them."
    assert (offer.selected, offer.confidence) == (False, 0.3)


def test_damaged_header_is_warned_about(gre: Lists) -> None:
    _damage(gre[1][5], 400)
    (offer,) = offers(gre)
    assert offer.warning.startswith("1 files of the series are damaged: copy or export them again.")
    assert set(offer.files) == set(_flat(gre))
    assert not offer.selected


def test_missing_slice_is_warned_about(gre: Lists) -> None:
    (offer,) = offers([gre[0], [file for n, file in enumerate(gre[1]) if n != 3]])
    assert "a gap of 4.60 mm" in offer.warning
    assert not offer.selected


def test_silent_headers_are_warned_about(tmp_path: Path) -> None:
    style = Style(field_strength_t=None, imaging_frequency_mhz=None)
    lists = [_write(tmp_path / str(n), one, TIMES_MS) for n, one in enumerate(siemens_styles(style))]
    (offer,) = offers(lists)
    assert offer.warning == "The headers do not tell the field strength: state it in tesla."


def test_a_series_of_which_nothing_can_be_read_spoils_no_other(gre: Lists, spin_echo: Lists) -> None:
    for file in gre[0]:
        _damage(file, 300)
    assert [offer.kind for offer in offers([*gre, *spin_echo])] == [Kind.SPIN_ECHO]


def test_what_is_no_multi_echo_scan_is_not_offered(gre: Lists, tmp_path: Path) -> None:
    single = _write(tmp_path / "single", Style(series="1.2.3.1.11", repetition_ms=9.0), TIMES_MS[:1])
    mprage = _write(tmp_path / "mprage", Style(series="1.2.3.1.12", scanning=["GR", "IR"]), TIMES_MS[:1])
    (tmp_path / "text").write_text("no image")
    for files in (single, mprage, gre[1], [str(tmp_path / "text")], [str(tmp_path / "gone")], []):
        assert offers([files]) == []
    assert offers([]) == []


def test_mixed_series(gre: Lists, tmp_path: Path) -> None:
    """Files of other kinds among the echoes, first of all, hide nothing and are not claimed."""
    (tmp_path / "text").write_text("no image")
    single = _write(tmp_path / "single", Style(series="1.2.3.1.12", scanning=["GR", "IR"]), TIMES_MS[:1])
    (offer,) = offers([[str(tmp_path / "text"), *single, *gre[0], *gre[1]]])
    assert (offer.kind, set(offer.files), offer.warning) == (Kind.GRE, set(_flat(gre)), "")


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_raises_nothing(gre: Lists, seed: int) -> None:
    random = np.random.default_rng(seed)
    for files in gre:
        for file in random.choice(files, 6, replace=False):
            content = bytearray(Path(file).read_bytes())
            for place in random.integers(132, len(content), 8):
                content[place] = random.integers(256)
            Path(file).write_bytes(content)
    for offer in offers(gre):
        assert set(offer.files) <= set(_flat(gre))
        assert "SECRET" not in repr(offer)


def test_loading_gives_what_the_loader_reads(scene: Any, gre: Lists) -> None:
    (offer,) = offers(gre)
    nodes, expected = load_offer(scene, offer.files, name="Head"), load_acquisition(_paths(gre))
    back = acquisition_from_nodes(nodes["gre_magnitude"], nodes["gre_phase"])
    assert np.array_equal(back.gre_magnitude, expected.gre_magnitude)
    assert np.array_equal(back.gre_phase, expected.gre_phase)
    assert back.scan.echo_times_s == expected.scan.echo_times_s == (0.00407, 0.00814, 0.01221)
    assert back.scan.imaging_frequency_hz == expected.scan.imaging_frequency_hz
    assert back.source == expected.source
    np.testing.assert_allclose(back.grid.affine, expected.grid.affine, rtol=0, atol=1e-12)
    assert np.array_equal(array_from_node(nodes["volume"]), expected.gre_magnitude[..., 0])


def test_loading_a_spin_echo(scene: Any, spin_echo: Lists) -> None:
    (offer,) = offers(spin_echo)
    nodes, expected = load_offer(scene, offer.files), load_spin_echo(_paths(spin_echo))
    sequence = nodes["se_magnitude"]
    assert [sequence.GetNthIndexValue(item) for item in range(2)] == ["12", "90"]
    for echo in range(2):
        assert np.array_equal(array_from_node(sequence.GetNthDataNode(echo)), expected.magnitude[..., echo])


def test_loading_magnitude_alone(scene: Any, gre: Lists) -> None:
    (offer,) = offers(gre[:1])
    nodes, expected = load_offer(scene, offer.files), load_acquisition(_paths(gre))
    sequence = nodes["gre_magnitude"]
    assert [sequence.GetNthIndexValue(item) for item in range(3)] == ["4.07", "8.14", "12.21"]
    for echo in range(3):
        assert np.array_equal(array_from_node(sequence.GetNthDataNode(echo)), expected.gre_magnitude[..., echo])
    np.testing.assert_allclose(grid_from_node(nodes["volume"]).affine, expected.grid.affine, rtol=0, atol=1e-12)


def test_damage_and_other_scans_are_refused_at_loading(scene: Any, gre: Lists, tmp_path: Path) -> None:
    other = _write(tmp_path / "other", Style(series="1.2.3.1.13", repetition_ms=99.0), TIMES_MS)
    with pytest.raises(InputError, match="2 multi-echo scans"):
        load_offer(scene, [*gre[0], *gre[1], *other])
    _damage(gre[0][0], len(Path(gre[0][0]).read_bytes()) - 20)
    with pytest.raises(InputError, match="truncated image"):
        load_offer(scene, [*gre[0], *gre[1]])
    assert scene.GetFirstNodeByClass("vtkMRMLSequenceNode") is None


# The plugin's file itself, with small stand-ins for Slicer's DICOM library.


class DICOMLoadable:
    """What Slicer's class holds."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.name = self.tooltip = self.warning = ""
        self.selected = False
        self.confidence = 0.5


class DICOMPlugin:
    """What the plugin uses of Slicer's class."""

    def __init__(self) -> None:
        self.loadType = "Generic DICOM"

    def addSeriesInSubjectHierarchy(self, loadable: DICOMLoadable, node: Any) -> None:  # noqa: N802
        """Put the node under a study, as Slicer does with values of its database."""
        hierarchy = load_slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
        study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
        hierarchy.CreateItem(study, node)


@pytest.fixture
def application(scene: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Stand-ins for what Slicer's application adds; what was shown is recorded."""
    slicer, shown = load_slicer(), []
    library, translation = ModuleType("DICOMLib"), ModuleType("slicer.i18n")
    vars(library).update(DICOMLoadable=DICOMLoadable, DICOMPlugin=DICOMPlugin)
    vars(translation).update(tr=lambda text: text)
    monkeypatch.setitem(sys.modules, "DICOMLib", library)
    monkeypatch.setitem(sys.modules, "slicer.i18n", translation)
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(), raising=False)
    database = SimpleNamespace(
        instanceForFile=lambda file: f"1.{Path(file).name}", fileForInstance=lambda uid: f"/db/{uid[2:]}"
    )
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda **layers: shown.append(layers))
    return SimpleNamespace(slicer=slicer, shown=shown, database=database)


@pytest.fixture
def plugin(application: SimpleNamespace) -> Any:
    """The plugin as the module's constructor registers it."""
    spec = importlib.util.spec_from_file_location("ChiSepMultiEchoPlugin", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parent = SimpleNamespace()
    module.ChiSepMultiEchoPlugin(parent)
    assert parent.hidden
    return application.slicer.modules.dicomPlugins["ChiSepMultiEchoPlugin"]()


def test_plugin_offers_and_loads(plugin: Any, application: SimpleNamespace, gre: Lists, scene: Any) -> None:
    (loadable,) = plugin.examineForImport(gre)
    assert (loadable.selected, loadable.confidence, loadable.warning) == (True, 0.95, "")
    volume = plugin.load(loadable)
    assert volume.GetName() == "gre_me3 gre_magnitude"
    assert application.shown == [{"background": volume, "fit": True}]
    hierarchy = application.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume))
    assert hierarchy.GetItemName(study) == "study"
    for name in ("gre_me3 gre_magnitude", "gre_me3 gre_phase", "gre_me3 echoes"):
        nodes = scene.GetNodesByName(name)
        items = [hierarchy.GetItemByDataNode(nodes.GetItemAsObject(n)) for n in range(nodes.GetNumberOfItems())]
        assert items
        assert {hierarchy.GetItemParent(item) for item in items} == {study}


def test_files_are_found_again(plugin: Any, application: SimpleNamespace, gre: Lists, scene: Any) -> None:
    (loadable,) = plugin.examineForImport(gre)
    volume = plugin.load(loadable)
    expected = tuple(Path("/db") / Path(file).name for file in loadable.files)
    for node in (volume, scene.GetFirstNodeByClass("vtkMRMLSequenceNode")):
        assert files_behind(node, application.database) == expected
    assert files_behind(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"), application.database) == ()
    assert files_behind(volume, SimpleNamespace(fileForInstance=lambda uid: "")) == ()


def test_plugin_says_why_it_cannot_load(
    plugin: Any, application: SimpleNamespace, gre: Lists, caplog: pytest.LogCaptureFixture
) -> None:
    (loadable,) = plugin.examineForImport(gre)
    _damage(gre[0][0], len(Path(gre[0][0]).read_bytes()) - 20)
    with caplog.at_level(logging.ERROR):
        assert plugin.load(loadable) is None
    assert "truncated image" in caplog.text
    assert "SECRET" not in caplog.text
    assert application.shown == []


def test_plugin_is_thin() -> None:
    assert len(PLUGIN.read_text(encoding="utf-8").splitlines()) <= 150
