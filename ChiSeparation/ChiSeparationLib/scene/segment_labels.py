"""All segments of a segmentation as one label map, whatever layers and grids they lie on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.geometry.resampling import index_matrix, resample
from ChiSepPreprocessLib.scene.session import load_slicer

Labels = NDArray[np.int32]

#: Part of a voxel that counts as none.
_ROUNDING = 1e-2

#: Pairs of overlapping segments that a warning names.
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class SegmentLabels:
    """Segments as labels; no voxel belongs to two.

    Parameters
    ----------
    labels : ndarray of int32, shape (I, J, K)
        n where the n-th of ``segment_ids`` lies (from 1), 0 elsewhere.
    grid : Grid
        Where the voxels lie.
    segment_ids : tuple of str
        Every segment in the segmentation's order, empty ones too.
    warnings : tuple of str
        Which segments overlapped.
    """

    labels: Labels
    grid: Grid
    segment_ids: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def numbered(self, numbers: dict[str, int]) -> Labels:
        """Labels with the segments' positions replaced by numbers, by segment ID; others become 0."""
        table = np.array([0, *(numbers.get(one, 0) for one in self.segment_ids)], dtype=np.int32)
        return table[self.labels]


@dataclass(frozen=True, eq=False)
class _Layer:
    """One image of a segmentation, in positions of so many segments."""

    labels: Labels
    grid: Grid
    segments: int


def read_labels(node: Any, grid: Grid | None = None) -> SegmentLabels:
    """Read all segments of a segmentation into one label map.

    Where segments overlap the smaller keeps the voxel, so that none vanishes inside another; the warnings say so.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        With a binary label map, or without segments.
    grid : Grid, optional
        Wanted grid, reached by nearest neighbours; by default the segmentation's own voxels, as far as segments reach.

    Raises
    ------
    InputError
        If the node is another one, stands under a transform, or has no binary label map.
    """
    check_segmentation(node)
    ids = tuple(node.GetSegmentation().GetSegmentIDs())
    layers = list(_layers(node, ids))
    target = grid or _own_grid(layers)
    sizes = sum((np.bincount(layer.labels.ravel(), minlength=len(ids) + 1) for layer in layers), np.zeros(1, np.int64))
    labels, contested = np.zeros(target.shape, dtype=np.int32), np.zeros(target.shape, dtype=bool)
    pairs = {pair for layer in layers for pair in _add(labels, contested, _on_grid(layer, target), sizes)}
    warnings = _overlap_warnings(sorted(pairs), int(np.count_nonzero(contested)), node)
    return SegmentLabels(labels, target, ids, warnings)


def check_segmentation(node: Any) -> None:
    """Refuse what is no segmentation whose voxels can be read where they are.

    Raises
    ------
    InputError
        If the node is another one, stands under a transform, or has no binary label map.
    """
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        raise InputError("lesions", node.GetClassName() if node is not None else "none", "a segmentation node",
                         "Choose the segmentation of the lesions.")  # fmt: skip
    if node.GetTransformNodeID():
        raise InputError(f"segmentation '{node.GetName()}'", "a transform above it", "none",
                         "Harden the transform in the Data module.")  # fmt: skip
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() and not segmentation.ContainsRepresentation(_binary()):
        raise InputError(f"segmentation '{node.GetName()}'", "no binary label map", "one",
                         "Create it in the Segmentations module, under Representations.")  # fmt: skip


def _binary() -> str:
    name: str = load_slicer().vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    return name


def _layers(node: Any, ids: tuple[str, ...]) -> Iterator[_Layer]:
    segmentation, binary = node.GetSegmentation(), _binary()
    positions = {one: position for position, one in enumerate(ids, start=1)}
    for number in range(segmentation.GetNumberOfLayers(binary)):
        image = segmentation.GetLayerDataObject(number, binary)
        if image is None or image.GetNumberOfPoints() == 0:
            continue
        values = {
            segmentation.GetSegment(one).GetLabelValue(): positions[one]
            for one in segmentation.GetSegmentIDsForLayer(number, binary)
        }
        found = _layer(image, values)
        if found is not None:
            yield found


def _layer(image: Any, positions: dict[int, int]) -> _Layer | None:
    """Labels of one image, cut to what is in it; ``None`` if that is nothing."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    if not values.any():
        return None
    box = bounding_box(values)
    table = np.zeros(max(int(values.max()), *positions) + 1, dtype=np.int32)
    table[list(positions)] = list(positions.values())
    labels = table[values[box].astype(np.int64)].transpose(2, 1, 0)
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    start = np.array(image.GetExtent()[::2]) + [part.start for part in box[::-1]]
    affine[:3, 3] += affine[:3, :3] @ start
    return _Layer(labels, Grid(labels.shape, affine), len(positions))


def _own_grid(layers: list[_Layer]) -> Grid:
    """Voxels of the layer with the most segments, as far as any layer reaches."""
    if not layers:
        return Grid((1, 1, 1), np.eye(4))
    main = max(layers, key=lambda layer: (layer.segments, layer.labels.size)).grid
    ends = np.concatenate([_ends(layer.grid, main) for layer in layers])
    # Rounding in matrices must not add voxels.
    low = np.floor(ends.min(axis=0) + 0.5 + _ROUNDING).astype(int)
    high = np.ceil(ends.max(axis=0) + 0.5 - _ROUNDING).astype(int)
    affine = main.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    return Grid(tuple(int(n) for n in high - low), affine)


def _ends(grid: Grid, other: Grid) -> NDArray[np.float64]:
    """Corners of a grid in the voxel indices of another, shape (8, 3)."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * grid.shape - 0.5
    matrix = index_matrix(other, grid)
    return np.asarray(corners @ matrix[:3, :3].T + matrix[:3, 3])


def _shift(grid: Grid, target: Grid) -> NDArray[np.int64] | None:
    """Voxels from ``target``'s first voxel to the same place in ``grid``; ``None`` if their voxels differ."""
    matrix = index_matrix(grid, target)
    shift = np.rint(matrix[:3, 3])
    same = np.abs(matrix[:3, :3] - np.eye(3)).max() < 1e-4 and np.abs(matrix[:3, 3] - shift).max() < _ROUNDING
    return shift.astype(np.int64) if same else None


@dataclass(frozen=True, eq=False)
class _Part:
    """Labels in a box of the target."""

    labels: Labels
    box: tuple[slice, ...]


def _on_grid(layer: _Layer, target: Grid) -> _Part:
    return placed(layer.labels, layer.grid, target)


def placed(labels: Labels, grid: Grid, target: Grid) -> _Part:
    """Labels of one grid on another, by nearest neighbours, and the box of the target that they lie in."""
    shift = _shift(grid, target)
    if shift is None:
        return _Part(resample(labels, grid, target, nearest=True), tuple(slice(0, n) for n in target.shape))
    start = np.clip(-shift, 0, target.shape)
    stop = np.clip(-shift + grid.shape, start, target.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    inner = tuple(slice(int(a + s), int(b + s)) for a, b, s in zip(start, stop, shift, strict=True))
    return _Part(labels[inner], box)


def on_grid(labels: Labels, grid: Grid, target: Grid) -> Labels:
    """Labels of one grid on another by nearest neighbours, 0 where they have no voxel."""
    part, result = placed(labels, grid, target), np.zeros(target.shape, dtype=np.int32)
    result[part.box] = part.labels
    return result


def _add(
    labels: Labels, contested: NDArray[np.bool_], part: _Part, sizes: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Write a part into the labels, the smaller segment where there is one; give the pairs that meet."""
    here, inside = labels[part.box], part.labels > 0
    both = inside & (here > 0)
    old, new = here[both], part.labels[both]
    np.copyto(here, part.labels, where=inside)
    if old.size:
        here[both] = np.where(sizes[new] < sizes[old], new, old)
        contested[part.box] |= both
        pairs = np.unique(np.sort(np.stack([old, new]), axis=0), axis=1)
        yield from ((int(one), int(other)) for one, other in pairs.T)


def _overlap_warnings(pairs: list[tuple[int, int]], voxels: int, node: Any) -> tuple[str, ...]:
    if not pairs:
        return ()
    segmentation = node.GetSegmentation()
    names = [
        " and ".join(f"'{segmentation.GetNthSegment(position - 1).GetName()}'" for position in pair)
        for pair in pairs[:_MOST_NAMED]
    ]
    more = f" and {len(pairs) - _MOST_NAMED} more pairs" if len(pairs) > _MOST_NAMED else ""
    return (f"Segments overlap in {voxels} voxels, each of which counts to the smaller segment: "
            f"{', '.join(names)}{more}.",)  # fmt: skip
