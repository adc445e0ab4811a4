"""Echoes as sequence nodes: one volume for each echo time, and a browser that steps through them together.

The index is the echo time in milliseconds. Slicer tells items of a sequence apart by 0.001 of the index's unit:
1 µs here, but 1 ms if it were in seconds, which is less than neighbouring echoes may lie apart. It shows the index
with two decimals, which suits milliseconds too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..artifacts import ARTIFACTS, Acquisition, Image, Map, ScanParameters, SpinEcho
from ..errors import InputError
from ..files import as_json_value
from .nodes import (
    ARTIFACT,
    HANDEDNESS,
    UNIT,
    add_image,
    apply_window,
    describe,
    put_in_folder,
    set_unit,
    show_grey,
)
from .session import load_slicer, logic
from .volumes import handedness, ijk_to_ras, image_data
from .windows import preset, presets

if TYPE_CHECKING:
    import slicer

INDEX_NAME = "echo time"
INDEX_UNIT = "ms"

#: Attributes of nodes of a scan: B0 in T, imaging frequency in Hz, echo time in s, how it was read as JSON.
FIELD_STRENGTH, FREQUENCY, ECHO_TIME, SOURCE = (
    f"ChiSeparation.{key}" for key in ("FieldStrength", "ImagingFrequency", "EchoTime", "Source")
)

#: Option of the artifact ``se_magnitude``: whether the echoes are those of a turbo spin echo.
TURBO = "turbo"


def add_acquisition(
    scene: slicer.vtkMRMLScene, acquisition: Acquisition, *, name: str = "", folder_name: str = ""
) -> dict[str, Any]:
    """Add everything that was measured: sequences of magnitude and phase with one browser, spin echo, FLAIR.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    acquisition : Acquisition
        What was measured.
    name : str, optional
        Begins the names of all nodes.
    folder_name : str, optional
        Folder in the subject hierarchy, made if it is not there.

    Returns
    -------
    dict of str to vtkMRMLNode
        Sequence nodes under ``gre_magnitude``, ``gre_phase`` and ``se_magnitude``, the volume node under ``flair``,
        browser nodes under ``gre_browser`` and ``se_browser``.
    """
    note: dict[str, Any] = {"grid": acquisition.grid, "method": "measured", "warnings": acquisition.warnings}
    scan = acquisition.scan
    nodes = {
        one.name: add_echoes(scene, one, scan.echo_times_s, name=_named(name, one.name), scan=scan)
        for one in (
            Map(name="gre_magnitude", data=acquisition.gre_magnitude, **note),
            Map(name="gre_phase", data=acquisition.gre_phase, **note),
        )
    }
    source = json.dumps(dict(acquisition.source), ensure_ascii=False, default=as_json_value)
    for node in nodes.values():
        node.SetAttribute(SOURCE, source)
    nodes["gre_browser"] = add_browser(scene, tuple(nodes.values()), name=_named(name, "echoes"))
    if acquisition.spin_echo is not None:
        nodes |= add_spin_echo(scene, acquisition.spin_echo, name=name)
    if acquisition.flair is not None:
        nodes["flair"] = _add_flair(scene, acquisition.flair, _named(name, "flair"))
    if folder_name:
        _put_in_folder(scene, nodes, folder_name)
    return nodes


def add_spin_echo(
    scene: slicer.vtkMRMLScene, spin_echo: SpinEcho, *, name: str = "", folder_name: str = ""
) -> dict[str, Any]:
    """Add a spin echo scan; parameters and result as those of :func:`add_acquisition`."""
    one = Map(name="se_magnitude", data=spin_echo.magnitude, grid=spin_echo.grid, method="measured",
              options={TURBO: spin_echo.is_turbo})  # fmt: skip
    sequence = add_echoes(scene, one, spin_echo.echo_times_s, name=_named(name, one.name))
    browser = add_browser(scene, (sequence,), name=_named(name, "spin echoes"))
    nodes = {"se_magnitude": sequence, "se_browser": browser}
    if folder_name:
        _put_in_folder(scene, nodes, folder_name)
    return nodes


def add_echoes(
    scene: slicer.vtkMRMLScene,
    one: Map,
    echo_times_s: Sequence[float],
    *,
    name: str = "",
    scan: ScanParameters | None = None,
) -> Any:
    """Add one component as a sequence node.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    one : Map
        Artifact with an echo axis, shape (I, J, K, E).
    echo_times_s : sequence of float
        E increasing times, s; kept to the nanosecond.
    name : str, optional
        Of the node; by default that of the artifact.
    scan : ScanParameters, optional
        Its field strength and imaging frequency are kept with the node.

    Returns
    -------
    vtkMRMLSequenceNode

    Raises
    ------
    InputError
        If there is not one volume for each echo time, or Slicer cannot tell the times apart.
    """
    if one.data.ndim != 4 or one.data.shape[3] != len(echo_times_s):
        raise InputError(f"{one.name} as a sequence", f"shape {one.data.shape}",
                         f"(I, J, K, E) with one volume for each of {len(echo_times_s)} echo times")  # fmt: skip
    sequence = load_slicer().vtkMRMLSequenceNode()
    sequence.SetName(name or one.name)
    sequence.SetIndexName(INDEX_NAME)
    sequence.SetIndexUnit(INDEX_UNIT)
    sequence.SetIndexType(sequence.NumericIndex)
    for echo, time_s in enumerate(echo_times_s):
        sequence.SetDataNodeAtValue(_echo_node(one, echo, time_s), f"{1e3 * time_s:.6f}".rstrip("0").rstrip("."))
    if sequence.GetNumberOfDataNodes() != len(echo_times_s):
        raise InputError("echo times", f"{tuple(echo_times_s)} s", "times at least a microsecond apart")
    describe(sequence, one)
    _keep_scan(sequence, scan)
    return scene.AddNode(sequence)


def add_browser(scene: slicer.vtkMRMLScene, sequences: Sequence[Any], *, name: str) -> Any:
    """Add a browser that steps through sequences together and shows the first echo of each as a volume.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    sequences : sequence of vtkMRMLSequenceNode
        Of :func:`add_echoes`; the first leads.
    name : str
        Of the browser.

    Returns
    -------
    vtkMRMLSequenceBrowserNode
        ``GetProxyNode(sequence)`` is the volume that shows the chosen echo of a sequence.
    """
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", name)
    for sequence in sequences:
        browser.AddSynchronizedSequenceNode(sequence)
        # The volume keeps one name; which echo it shows is said by the browser.
        browser.SetOverwriteProxyName(sequence, False)
    browser.SetIndexDisplayMode(browser.IndexDisplayAsIndexValue)
    browser.SetSelectedItemNumber(0)
    logic(scene, "Sequences").UpdateProxyNodesFromSequences(browser)
    for sequence in sequences:
        _show(browser.GetProxyNode(sequence), sequence.GetAttribute(ARTIFACT))
    return browser


def _echo_node(one: Map, echo: int, time_s: float) -> Any:
    node = load_slicer().vtkMRMLScalarVolumeNode()
    node.SetName(one.name)
    node.SetAndObserveImageData(image_data(one.data[:, :, :, echo]))
    node.SetIJKToRASMatrix(ijk_to_ras(one.grid))
    node.SetAttribute(ECHO_TIME, repr(float(time_s)))
    return node


def _keep_scan(node: Any, scan: ScanParameters | None) -> None:
    if scan is None:
        return
    node.SetAttribute(FIELD_STRENGTH, repr(float(scan.field_strength_t)))
    if scan.imaging_frequency_hz is not None:
        node.SetAttribute(FREQUENCY, repr(float(scan.imaging_frequency_hz)))


def _show(proxy: Any, artifact: str) -> None:
    set_unit(proxy, ARTIFACTS[artifact])  # not at the items, where Slicer drops it
    proxy.CreateDefaultDisplayNodes()
    if presets(artifact):
        apply_window(proxy, preset(artifact))
    else:
        show_grey(proxy)


def _add_flair(scene: Any, image: Image, name: str) -> Any:
    node = add_image(scene, name, image)
    for key, value in {ARTIFACT: "flair", UNIT: "a.u.", HANDEDNESS: handedness(image.grid)}.items():
        node.SetAttribute(key, value)
    return node


def _put_in_folder(scene: Any, nodes: Mapping[str, Any], folder_name: str) -> None:
    for node in nodes.values():
        put_in_folder(scene, node, folder_name)
        for proxy in volumes_of(node):
            put_in_folder(scene, proxy, folder_name)


def volumes_of(node: Any) -> list[Any]:
    """Volumes in which a browser shows its sequences; none for other nodes."""
    from vtkmodules.vtkCommonCore import vtkCollection

    if not node.IsA("vtkMRMLSequenceBrowserNode"):
        return []
    proxies = vtkCollection()
    node.GetAllProxyNodes(proxies)
    return [proxies.GetItemAsObject(n) for n in range(proxies.GetNumberOfItems())]


def _named(beginning: str, name: str) -> str:
    return f"{beginning} {name}".strip()
