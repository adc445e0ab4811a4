"""How one volume is shown: window preset, colours, legend, interpolation, and back to what it came with."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..artifacts import ARTIFACTS
from ..errors import InputError
from .difference import DIFFERENCE_OF
from .nodes import ARTIFACT, UNIT, apply_window, color_node, show_grey
from .session import load_slicer
from .slice_view import label_count
from .windows import COLOR_TITLES, WindowPreset, difference_window, presets


def window_choices(node: Any) -> tuple[WindowPreset, ...]:
    """Windows that a menu offers for a volume node, default first; none where the node holds no map with a unit.

    Parameters
    ----------
    node : vtkMRMLVolumeNode
        A map of :mod:`.nodes`, a difference of :mod:`.difference`, or any other volume.
    """
    if node.GetAttribute(DIFFERENCE_OF):
        return (difference_window(node.GetAttribute(DIFFERENCE_OF)),)
    artifact = node.GetAttribute(ARTIFACT)
    return presets(artifact) if artifact in ARTIFACTS else ()


def choose_window(node: Any, name: str) -> None:
    """Show a volume node with one of its window presets, in the colours of the preset.

    Raises
    ------
    InputError
        If the node has no such preset.
    """
    choices = {one.name: one for one in window_choices(node)}
    if name not in choices:
        raise InputError(
            f"window of '{node.GetName()}'", name, f"one of {', '.join(choices) or 'none: it has no unit'}"
        )
    apply_window(node, choices[name])


def chosen_window(node: Any) -> str:
    """Name of the preset whose range a volume node has now; empty where the range is another."""
    display = node.GetDisplayNode()
    now = (display.GetWindowLevelMin(), display.GetWindowLevelMax())
    matching = (one.name for one in window_choices(node) if np.allclose(now, (one.minimum, one.maximum), rtol=1e-6))
    return next(matching, "")


def choose_colors(node: Any, table: str) -> None:
    """Show a volume node in a colour table, its range unchanged.

    Raises
    ------
    InputError
        If there is no table of that name.
    """
    if table not in COLOR_TITLES:
        raise InputError("colour table", table, f"one of {', '.join(COLOR_TITLES)}")
    node.GetDisplayNode().SetAndObserveColorNodeID(color_node(node.GetScene(), table).GetID())


def reset_display(node: Any) -> None:
    """Show a volume node as it came: default preset or the range of its values, interpolated, without legend."""
    choices = window_choices(node)
    if choices:
        apply_window(node, choices[0])
    else:
        show_grey(node)
    set_interpolation(node, True)
    set_legend(node, False)


def set_interpolation(node: Any, on: bool) -> None:
    """Smooth the voxels of a volume node, or show them as the squares that they are."""
    node.GetDisplayNode().SetInterpolate(on)


def has_legend(node: Any) -> bool:
    """Whether the colour legend of a volume node is shown."""
    legend = load_slicer().vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    return legend is not None and bool(legend.GetVisibility())


def set_legend(node: Any, on: bool) -> None:
    """Show or hide the colour legend in the views of a volume node; its labels are numbers that fit the range."""
    logic = load_slicer().vtkSlicerColorLogic
    legend = logic.GetColorLegendDisplayNode(node)
    if legend is None and not on:
        return
    if legend is None:
        legend = logic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(_legend_title(node))
    choices, display = window_choices(node), node.GetDisplayNode()
    if choices:
        form, low, high = choices[0].number_format, display.GetWindowLevelMin(), display.GetWindowLevelMax()
        legend.SetLabelFormat(form)
        legend.SetNumberOfLabels(label_count(low, high, form))
    legend.SetVisibility(on)


def renew_legend(node: Any) -> None:
    """Let views that opened after a colour legend was made show it too; they look only for legends that come."""
    scene, legend = node.GetScene(), load_slicer().vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    if legend is not None:
        scene.RemoveNode(legend)
        node.AddAndObserveDisplayNodeID(scene.AddNode(legend).GetID())
        # Views look at the legend when it comes, before the volume knows it again, and then only when it changes.
        legend.Modified()


def _legend_title(node: Any) -> str:
    """What the colours mean, in letters that VTK's own font has."""
    name = node.GetAttribute(ARTIFACT) or node.GetAttribute(DIFFERENCE_OF) or node.GetName()
    unit = node.GetAttribute(UNIT)
    words = ["difference", name] if node.GetAttribute(DIFFERENCE_OF) else [name]
    return "\n".join([*words, f"({unit})"] if unit else words).replace("_", " ")
