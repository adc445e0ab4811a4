"""Echoes go to sequence nodes and come back as they were; what nodes do not tell is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Acquisition, Array, Grid, Image, Map, ScanParameters, SpinEcho
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.loading import LoadOptions
from ChiSepPreprocessLib.scene.acquisition_nodes import acquisition_from_nodes
from ChiSepPreprocessLib.scene.mrb import read_mrb, write_mrb
from ChiSepPreprocessLib.scene.nodes import ARTIFACT, WARNINGS
from ChiSepPreprocessLib.scene.sequences import (
    ECHO_TIME,
    FIELD_STRENGTH,
    SOURCE,
    add_acquisition,
    add_echoes,
    add_spin_echo,
)
from ChiSepPreprocessLib.scene.session import close_session, load_slicer, logic
from ChiSepPreprocessLib.scene.volumes import array_from_node, grid_from_node, volume_node

#: Off the hundredths that Slicer shows, and closer to each other than a millisecond.
TIMES_S = (0.00407, 0.0048, 0.010929, 0.021701)
SPIN_TIMES_S = (0.0125, 0.09)


def _affine(handedness: int, voxel_size_mm: tuple[float, float, float]) -> Array:
    """Double-oblique axes."""
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    rotation[:, 0] *= handedness * np.sign(np.linalg.det(rotation))
    affine = np.eye(4)
    affine[:3, :3] = rotation * voxel_size_mm
    affine[:3, 3] = [-41.75, 12.125, 33.5]
    return affine


def _random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).random(shape, dtype=np.float32)


@pytest.fixture(params=[1, -1], ids=["right-handed", "left-handed"])
def acquisition(request: pytest.FixtureRequest) -> Acquisition:
    """Random echoes on an oblique, anisotropic grid of odd size; spin echo and FLAIR lie on grids of their own."""
    grid = Grid((11, 9, 13), _affine(request.param, (0.9, 1.2, 2.3)))
    other = Grid((8, 11, 5), _affine(-request.param, (1.5, 1.1, 4.0)))
    return Acquisition(
        gre_magnitude=_random(11, 9, 13, 4) * np.array([900, 700, 500, 300], np.float32),
        gre_phase=np.angle(np.exp(2j * np.pi * _random(11, 9, 13, 4))).astype(np.float32),
        grid=grid,
        scan=ScanParameters(
            echo_times_s=TIMES_S, field_strength_t=2.89362, b0_direction_ijk=grid.b0_direction_ijk,
            imaging_frequency_hz=123_177_385.0,
        ),
        spin_echo=SpinEcho(_random(8, 11, 5, 2), SPIN_TIMES_S, other, is_turbo=True),
        flair=Image(_random(8, 11, 5), other),
        warnings=("confirm the unit", "und das: π|β"),
        source={"vendor": "Siemens", "echoes": [{"time_s": 0.00407}]},
    )  # fmt: skip


def _check_same(back: Acquisition, made: Acquisition) -> None:
    """Voxels to the bit; places to the rounding of VTK's directions."""
    assert np.array_equal(back.gre_magnitude, made.gre_magnitude)
    assert np.array_equal(back.gre_phase, made.gre_phase)
    np.testing.assert_allclose(back.grid.affine, made.grid.affine, rtol=0, atol=1e-12)
    assert back.scan.echo_times_s == made.scan.echo_times_s
    assert back.scan.field_strength_t == made.scan.field_strength_t
    assert back.scan.imaging_frequency_hz == made.scan.imaging_frequency_hz
    np.testing.assert_allclose(back.scan.b0_direction_ijk, made.scan.b0_direction_ijk, rtol=0, atol=1e-12)
    assert back.spin_echo is not None
    assert made.spin_echo is not None
    assert np.array_equal(back.spin_echo.magnitude, made.spin_echo.magnitude)
    assert back.spin_echo.echo_times_s == made.spin_echo.echo_times_s
    assert back.spin_echo.is_turbo == made.spin_echo.is_turbo
    np.testing.assert_allclose(back.spin_echo.grid.affine, made.spin_echo.grid.affine, rtol=0, atol=1e-12)
    assert back.flair is not None
    assert made.flair is not None
    assert np.array_equal(back.flair.data, made.flair.data)
    np.testing.assert_allclose(back.flair.grid.affine, made.flair.grid.affine, rtol=0, atol=1e-12)
    assert set(made.warnings) <= set(back.warnings)
    assert back.source == made.source


def _back(nodes: dict[str, Any]) -> Acquisition:
    return acquisition_from_nodes(
        nodes["gre_magnitude"], nodes["gre_phase"], se=nodes["se_magnitude"], flair=nodes["flair"]
    )


def test_round_trip_is_exact(scene: Any, acquisition: Acquisition) -> None:
    back = _back(add_acquisition(scene, acquisition, name="Head", folder_name="Study"))
    _check_same(back, acquisition)
    assert len(set(back.warnings)) == len(back.warnings)


def test_scene_file_keeps_it(scene: Any, acquisition: Acquisition, tmp_path: Path) -> None:
    add_acquisition(scene, acquisition, name="Head")
    read = read_mrb(write_mrb(scene, tmp_path / "scene.mrb"))
    try:
        names = {"gre_magnitude", "gre_phase", "se_magnitude", "flair"}
        _check_same(_back({name: read.GetFirstNodeByName(f"Head {name}") for name in names}), acquisition)
    finally:
        close_session(read)


def test_index_is_the_echo_time_in_milliseconds(scene: Any, acquisition: Acquisition) -> None:
    nodes = add_acquisition(scene, acquisition)
    sequence, browser = nodes["gre_phase"], nodes["gre_browser"]
    assert [sequence.GetNthIndexValue(item) for item in range(4)] == ["4.07", "4.8", "10.929", "21.701"]
    assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("echo time", "ms")
    assert sequence.GetIndexType() == sequence.NumericIndex
    assert browser.GetFormattedIndexValue(2) == "10.93"


def test_browser_steps_through_magnitude_and_phase_together(scene: Any, acquisition: Acquisition) -> None:
    nodes = add_acquisition(scene, acquisition, name="Head")
    browser = nodes["gre_browser"]
    magnitude, phase = (browser.GetProxyNode(nodes[name]) for name in ("gre_magnitude", "gre_phase"))
    for echo in (0, 3, 1):
        browser.SetSelectedItemNumber(echo)
        logic(scene, "Sequences").UpdateProxyNodesFromSequences(browser)
        assert np.array_equal(array_from_node(magnitude), acquisition.gre_magnitude[..., echo])
        assert np.array_equal(array_from_node(phase), acquisition.gre_phase[..., echo])
    np.testing.assert_allclose(grid_from_node(phase).affine, acquisition.grid.affine, rtol=0, atol=1e-12)
    assert (magnitude.GetName(), phase.GetName()) == ("Head gre_magnitude", "Head gre_phase")
    display = phase.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((-np.pi, np.pi))
    assert phase.GetVoxelValueUnits().GetCodeMeaning() == "rad"


def test_everything_lies_in_the_folder(scene: Any, acquisition: Acquisition) -> None:
    nodes = add_acquisition(scene, acquisition, folder_name="Study")
    hierarchy = load_slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.GetItemChildWithName(hierarchy.GetSceneItemID(), "Study")
    volume = nodes["gre_browser"].GetProxyNode(nodes["gre_magnitude"])
    for node in (*nodes.values(), volume):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder


def test_volume_of_a_browser_stands_for_its_sequence(scene: Any, acquisition: Acquisition) -> None:
    """Users choose the volume that they see, not the sequence behind it."""
    nodes = add_acquisition(scene, acquisition)
    seen = {name: nodes["gre_browser"].GetProxyNode(nodes[name]) for name in ("gre_magnitude", "gre_phase")}
    _check_same(_back({**nodes, **seen, "se_magnitude": nodes["se_browser"].GetProxyNode(nodes["se_magnitude"])}),
                acquisition)  # fmt: skip


def test_moved_volume_is_refused(scene: Any, acquisition: Acquisition) -> None:
    nodes = add_acquisition(scene, acquisition)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    nodes["gre_browser"].GetProxyNode(nodes["gre_phase"]).SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="a transform above its volume"):
        _back(nodes)


def test_spin_echo_alone(scene: Any, acquisition: Acquisition) -> None:
    assert acquisition.spin_echo is not None
    nodes = add_spin_echo(scene, acquisition.spin_echo, name="TSE", folder_name="Study")
    assert [nodes["se_magnitude"].GetNthIndexValue(item) for item in range(2)] == ["12.5", "90"]
    assert nodes["se_browser"].GetProxyNode(nodes["se_magnitude"]).GetName() == "TSE se_magnitude"


def test_times_that_slicer_cannot_tell_apart_are_refused(scene: Any) -> None:
    one = Map(name="gre_magnitude", data=_random(3, 4, 5, 2), grid=Grid((3, 4, 5), np.eye(4)))
    with pytest.raises(InputError, match="a microsecond apart"):
        add_echoes(scene, one, (0.005, 0.0050004))
    with pytest.raises(InputError, match="one volume for each of 3"):
        add_echoes(scene, one, (0.005, 0.006, 0.007))
    assert scene.GetFirstNodeByClass("vtkMRMLSequenceNode") is None


# From here on, nodes that other modules of Slicer made.


@pytest.fixture
def strangers(scene: Any, acquisition: Acquisition) -> dict[str, Any]:
    """Single volumes of each echo without any attribute, phase in milliradians as int16."""

    def volumes(name: str, data: Array) -> list[Any]:
        return [
            volume_node(scene, f"{name} {echo}", data[..., echo], acquisition.grid, "Scalar")
            for echo in range(data.shape[3])
        ]  # fmt: skip

    return {
        "magnitude": volumes("m", acquisition.gre_magnitude),
        "phase": volumes("p", np.round(acquisition.gre_phase * 1000).astype(np.int16)),
    }


STATED = LoadOptions(echo_times_s=TIMES_S, field_strength_t=3.0, phase_unit="mrad")


def test_volumes_with_everything_stated(strangers: dict[str, Any], acquisition: Acquisition) -> None:
    back = acquisition_from_nodes(**strangers, options=STATED, in_scanner_space=True)
    assert np.array_equal(back.gre_magnitude, acquisition.gre_magnitude)
    np.testing.assert_allclose(back.gre_phase, acquisition.gre_phase, rtol=0, atol=5.1e-4)
    np.testing.assert_allclose(back.scan.b0_direction_ijk, acquisition.scan.b0_direction_ijk, rtol=0, atol=1e-12)
    assert (back.scan.echo_times_s, back.scan.field_strength_t) == (TIMES_S, 3.0)
    assert any("The vendor is unknown" in text for text in back.warnings)
    flipped = acquisition_from_nodes(**strangers, options=replace(STATED, flip_phase=True), in_scanner_space=True)
    assert np.array_equal(flipped.gre_phase, -back.gre_phase)


@pytest.mark.parametrize(
    ("options", "in_scanner_space", "match"),
    [
        (replace(STATED, echo_times_s=None), True, "echo times: got none in the headers of 4 echoes"),
        (replace(STATED, field_strength_t=None), True, "field strength: got none"),
        (replace(STATED, phase_unit=None), True, "an unknown unit"),
        (STATED, False, "axes of the scanner"),
    ],
)
def test_nothing_is_guessed(
    strangers: dict[str, Any], options: LoadOptions, in_scanner_space: bool, match: str
) -> None:
    with pytest.raises(InputError, match=match):
        acquisition_from_nodes(**strangers, options=options, in_scanner_space=in_scanner_space)


def test_volumes_from_dicom_lie_in_scanner_space(strangers: dict[str, Any]) -> None:
    for node in (*strangers["magnitude"], *strangers["phase"]):
        node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    assert acquisition_from_nodes(**strangers, options=STATED).scan.echo_times_s == TIMES_S


def test_attributes_of_volumes_tell_what_need_not_be_stated(strangers: dict[str, Any]) -> None:
    for nodes in strangers.values():
        for node, time_s in zip(nodes, TIMES_S, strict=True):
            node.SetAttribute(ECHO_TIME, repr(time_s))
            node.SetAttribute(FIELD_STRENGTH, "7.0")
    mixed = {name: nodes[::-1] for name, nodes in strangers.items()}
    back = acquisition_from_nodes(**mixed, options=LoadOptions(phase_unit="mrad"), in_scanner_space=True)
    assert (back.scan.echo_times_s, back.scan.field_strength_t) == (TIMES_S, 7.0)
    assert np.array_equal(back.gre_magnitude[..., 0], array_from_node(strangers["magnitude"][0]))


def _sequence(scene: Any, nodes: list[Any], name: str, unit: str, values: list[str]) -> Any:
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    sequence.SetIndexName(name)
    sequence.SetIndexUnit(unit)
    for node, value in zip(nodes, values, strict=True):
        sequence.SetDataNodeAtValue(node, value)
    return sequence


@pytest.mark.parametrize(
    ("name", "unit", "values"),
    [
        ("EchoTime", "ms", ["4.07", "4.8", "10.929", "21.701"]),
        ("TE", "s", ["0.00407", "0.0058", "0.010929", "0.021701"]),
    ],
)
def test_sequences_of_others_with_echo_times(
    scene: Any, strangers: dict[str, Any], name: str, unit: str, values: list[str]
) -> None:
    given = {part: _sequence(scene, nodes, name, unit, values) for part, nodes in strangers.items()}
    back = acquisition_from_nodes(**given, options=replace(STATED, echo_times_s=None), in_scanner_space=True)
    factor = 1e-3 if unit == "ms" else 1.0
    assert back.scan.echo_times_s == tuple(round(float(value) * factor, 9) for value in values)


def test_frames_of_the_multivolume_importer(scene: Any, strangers: dict[str, Any]) -> None:
    given = {part: _sequence(scene, nodes, "frame", "", list("0123")) for part, nodes in strangers.items()}
    for sequence in given.values():
        sequence.SetAttribute("MultiVolume.FrameIdentifyingDICOMTagName", "EchoTime")
        sequence.SetAttribute("MultiVolume.FrameIdentifyingDICOMTagUnits", "ms")
        sequence.SetAttribute("MultiVolume.FrameLabels", "4.07,4.8,10.929,21.701")
    back = acquisition_from_nodes(**given, options=replace(STATED, echo_times_s=None), in_scanner_space=True)
    assert back.scan.echo_times_s == TIMES_S


@pytest.mark.parametrize(
    ("name", "unit"), [("time", "s"), ("frame", ""), ("echo time", "us"), ("echo time", "")], ids=str
)
def test_other_indices_are_no_echo_times(scene: Any, strangers: dict[str, Any], name: str, unit: str) -> None:
    given = {part: _sequence(scene, nodes, name, unit, list("1234")) for part, nodes in strangers.items()}
    with pytest.raises(InputError, match="echo times: got none"):
        acquisition_from_nodes(**given, options=replace(STATED, echo_times_s=None), in_scanner_space=True)
    assert acquisition_from_nodes(**given, options=STATED, in_scanner_space=True).scan.echo_times_s == TIMES_S


def test_turbo_spin_echo_can_be_stated(scene: Any, acquisition: Acquisition, strangers: dict[str, Any]) -> None:
    assert acquisition.spin_echo is not None
    data, grid = acquisition.spin_echo.magnitude, acquisition.spin_echo.grid
    spin = [volume_node(scene, f"s {echo}", data[..., echo], grid, "Scalar") for echo in range(2)]
    options = replace(STATED, se_echo_times_s=SPIN_TIMES_S)
    for is_turbo in (True, False):
        back = acquisition_from_nodes(
            **strangers, se=spin, options=options, in_scanner_space=True, se_is_turbo=is_turbo
        ).spin_echo
        assert back is not None
        assert (back.is_turbo, back.echo_times_s) == (is_turbo, SPIN_TIMES_S)
        assert np.array_equal(back.magnitude, data)


def _drop_echo(nodes: dict[str, Any]) -> None:
    nodes["gre_phase"].RemoveDataNodeAtValue("4.8")


def _swap(nodes: dict[str, Any]) -> None:
    nodes["gre_magnitude"], nodes["gre_phase"] = nodes["gre_phase"], nodes["gre_magnitude"]


def _break(attribute: str, text: str) -> Callable[[dict[str, Any]], None]:
    return lambda nodes: nodes["gre_magnitude"].SetAttribute(attribute, text)


def _empty(nodes: dict[str, Any]) -> None:
    nodes["gre_phase"].GetNthDataNode(2).SetAndObserveImageData(None)


def _other_items(nodes: dict[str, Any]) -> None:
    nodes["gre_phase"].RemoveAllDataNodes()
    nodes["gre_phase"].SetDataNodeAtValue(load_slicer().vtkMRMLLinearTransformNode(), "4.07")


@pytest.mark.parametrize(
    ("harm", "match"),
    [
        (_drop_echo, "4 echoes of magnitude and 3 of phase"),
        (_swap, "got gre_phase; expected gre_magnitude"),
        (_break(WARNINGS, "[broken"), "a broken attribute"),
        (_break(SOURCE, '"text"'), "a broken attribute"),
        (_break(FIELD_STRENGTH, "strong"), "'strong' as an echo time or field"),
        (_break(FIELD_STRENGTH, "nan"), "'nan' as an echo time or field"),
        (_break(ARTIFACT, "r2"), "got r2; expected gre_magnitude"),
        (_empty, "no image"),
        (_other_items, "items that are no scalar volumes"),
    ],
)
def test_broken_nodes_are_refused(
    scene: Any, acquisition: Acquisition, harm: Callable[[dict[str, Any]], None], match: str
) -> None:
    nodes = add_acquisition(scene, acquisition)
    harm(nodes)
    with pytest.raises(InputError, match=match):
        _back(nodes)


def test_nothing_given_is_said(scene: Any, acquisition: Acquisition) -> None:
    nodes = add_acquisition(scene, acquisition)
    with pytest.raises(InputError, match="no gradient echo series"):
        acquisition_from_nodes([], [])
    with pytest.raises(InputError, match="magnitude without phase"):
        acquisition_from_nodes(nodes["gre_magnitude"], None)
    with pytest.raises(InputError, match="phase without magnitude"):
        acquisition_from_nodes(None, nodes["gre_phase"])
