"""Arrangements of slice views: FLAIR beside the susceptibility maps, and two results beside their difference.

The views are this extension's own, so the user's Red, Yellow and Green views keep what they show. The layout that was
on the screen before is remembered in the layout node, together with the crosshair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from .session import load_slicer

if TYPE_CHECKING:
    import slicer

#: Attributes of the layout node: what was there before the first layout of this module.
PREVIOUS_LAYOUT, PREVIOUS_CROSSHAIR = "ChiSeparation.PreviousLayout", "ChiSeparation.PreviousCrosshair"


@dataclass(frozen=True)
class ViewPlace:
    """One slice view of a layout.

    Parameters
    ----------
    tag : str
        Singleton tag of the slice node and of its composite node.
    key : str
        What it shows: an artifact, or a part of a comparison.
    label : str
        Short text on the view's bar.
    color : str
        Of the bar, as #rrggbb.
    """

    tag: str
    key: str
    label: str
    color: str


@dataclass(frozen=True)
class Layout:
    """One arrangement of slice views.

    Parameters
    ----------
    number : int
        Slicer's number for it; the next free one is taken where another extension has this one.
    title : str
        Shown in menus.
    views : tuple of ViewPlace
        Row by row.
    columns : int
        Views in a row.
    group : int
        View group: linked views are those of one group.
    """

    number: int
    title: str
    views: tuple[ViewPlace, ...]
    columns: int
    group: int


_MAP_VIEWS = (
    ViewPlace("ChiSepFlair", "flair", "FLAIR", "#8C8C8C"),
    ViewPlace("ChiSepPara", "chi_para", "χ para", "#E0A030"),
    ViewPlace("ChiSepDia", "chi_dia", "χ dia", "#3F8FDF"),
    ViewPlace("ChiSepTotal", "chi_total", "QSM", "#9A6FCF"),
)
_COMPARED_VIEWS = (
    ViewPlace("ChiSepFirst", "first", "A", "#4FA36B"),
    ViewPlace("ChiSepSecond", "second", "B", "#C7616B"),
    ViewPlace("ChiSepDifference", "difference", "A − B", "#9A6FCF"),
)

FOUR_GRID = Layout(5720, "FLAIR and susceptibility maps, two by two", _MAP_VIEWS, 2, 572)
FOUR_ROW = Layout(5721, "FLAIR and susceptibility maps, side by side", _MAP_VIEWS, 4, 572)
COMPARISON = Layout(5722, "Two results and their difference", _COMPARED_VIEWS, 3, 573)

#: Every layout, in the order of menus.
LAYOUTS = (FOUR_GRID, FOUR_ROW, COMPARISON)


def layout_xml(layout: Layout) -> str:
    """Description of a layout in the language of Slicer's layout node."""
    rows = [layout.views[at : at + layout.columns] for at in range(0, len(layout.views), layout.columns)]
    items = "".join(f"<item>{_row_xml(row, layout.group)}</item>" for row in rows)
    return f'<layout type="vertical">{items}</layout>'


def register_layouts(scene: slicer.vtkMRMLScene) -> dict[Layout, int]:
    """Make the layouts known to the scene; to be called at start-up, so that saved scenes open with them.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.

    Returns
    -------
    dict of Layout to int
        Number of each layout in this scene.
    """
    node = _layout_node(scene)
    return {layout: _registered(node, layout) for layout in LAYOUTS}


def show_layout(scene: slicer.vtkMRMLScene, layout: Layout) -> dict[str, Any]:
    """Bring a layout to the screen and remember what was there before.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    layout : Layout
        One of :data:`LAYOUTS`.

    Returns
    -------
    dict of str to vtkMRMLSliceNode
        Slice node by what the view shows.
    """
    numbers, node = register_layouts(scene), _layout_node(scene)
    if node.GetViewArrangement() not in numbers.values():
        _remember(scene, node)
    node.SetViewArrangement(numbers[layout])
    if any(slice_node(scene, view) is None for view in layout.views):
        _lay_out_once(scene)
    for view in layout.views:
        slice_node(scene, view).SetViewGroup(layout.group)
        slice_node(scene, view).SetLayoutLabel(view.label)
    return {view.key: slice_node(scene, view) for view in layout.views}


def restore_layout(scene: slicer.vtkMRMLScene) -> None:
    """Go back to the layout and the crosshair from before; a layout that the user chose since stays."""
    numbers, node = register_layouts(scene), _layout_node(scene)
    if node.GetViewArrangement() in numbers.values():
        # Closing the scene also forgets the layout from before; Slicer's usual one is the best guess then.
        before = node.GetAttribute(PREVIOUS_LAYOUT) or node.SlicerLayoutFourUpView
        node.SetViewArrangement(int(before))
    if node.GetAttribute(PREVIOUS_CROSSHAIR):
        crosshair(scene).SetCrosshairMode(int(node.GetAttribute(PREVIOUS_CROSSHAIR)))
    for key in (PREVIOUS_LAYOUT, PREVIOUS_CROSSHAIR):
        node.RemoveAttribute(key)


def current_layout(scene: slicer.vtkMRMLScene) -> Layout | None:
    """Layout of this module that is on the screen, ``None`` for any other."""
    shown = _layout_node(scene).GetViewArrangement()
    return next((layout for layout, number in register_layouts(scene).items() if number == shown), None)


def slice_node(scene: slicer.vtkMRMLScene, view: ViewPlace) -> Any:
    """Slice node of a view, ``None`` before its layout was first shown."""
    return scene.GetSingletonNode(view.tag, "vtkMRMLSliceNode")


def composite_node(scene: slicer.vtkMRMLScene, view: ViewPlace) -> Any:
    """Node with the layers of a view, made where no slice logic has made it yet."""
    found = scene.GetSingletonNode(view.tag, "vtkMRMLSliceCompositeNode")
    if found is not None:
        return found
    made = load_slicer().vtkMRMLSliceCompositeNode()
    made.SetLayoutName(view.tag)
    return scene.AddNode(made)


def crosshair(scene: slicer.vtkMRMLScene) -> Any:
    """Crosshair of all views, made where clearing the scene took it away."""
    slicer_module = load_slicer()
    found = slicer_module.vtkMRMLCrosshairDisplayableManager.FindCrosshairNode(scene)
    if found is not None:
        return found
    made = slicer_module.vtkMRMLCrosshairNode()
    made.SetCrosshairName("default")
    return scene.AddNode(made)


def _row_xml(row: tuple[ViewPlace, ...], group: int) -> str:
    return f'<layout type="horizontal">{"".join(_view_xml(view, group) for view in row)}</layout>'


def _view_xml(view: ViewPlace, group: int) -> str:
    properties = {"orientation": "Axial", "viewlabel": view.label, "viewcolor": view.color, "viewgroup": str(group)}
    lines = "".join(
        f'<property name="{name}" action="default">{escape(value)}</property>' for name, value in properties.items()
    )
    return f'<item><view class="vtkMRMLSliceNode" singletontag="{view.tag}">{lines}</view></item>'


def _layout_node(scene: Any) -> Any:
    """Layout node, of which a scene has one as soon as a layout logic serves it."""
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is None:
        _lay_out_once(scene)
        node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    return node


def _lay_out_once(scene: Any) -> None:
    """Make the nodes of the current layout where no application does, as on slicer-core."""
    load_slicer().vtkMRMLLayoutLogic().SetMRMLScene(scene)


def _registered(node: Any, layout: Layout) -> int:
    """Number under which a layout is known, after registering it where it is not."""
    text, number = layout_xml(layout), layout.number
    while node.IsLayoutDescription(number):
        if node.GetLayoutDescription(number) == text:
            return number
        number += len(LAYOUTS)
    node.AddLayoutDescription(number, text)
    return number


def _remember(scene: Any, node: Any) -> None:
    node.SetAttribute(PREVIOUS_LAYOUT, str(node.GetViewArrangement()))
    node.SetAttribute(PREVIOUS_CROSSHAIR, str(crosshair(scene).GetCrosshairMode()))
