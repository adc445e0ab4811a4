"""Edge-preserving smoothing of a map whose voxels are not equally well known."""

from __future__ import annotations

import numpy as np

from ..artifacts import Array
from ..box import bounding_box
from ..progress import Reporter
from ..threads import in_slabs
from .decay import PLANES

_SWEEPS = 12


def smooth_map(
    values: Array, deviations: Array, mask: Array, voxel_size_mm: tuple[float, float, float],
    weight: float, edge: float, report: Reporter | None = None,
) -> Array:  # fmt: skip
    """Minimise Σ (x − y)²/(2 s²) + λ Σ w h(x − x′), with Huber's h over the six neighbours within the mask.

    A voxel that is well known (small s) stays nearly as it is; one that is not takes its neighbours'
    value. Differences above ``edge`` count linearly, so that edges stay.
    Gauss-Seidel sweeps over the two colours of a chess board, each with the weights of the last values
    (iteratively reweighted least squares).

    Parameters
    ----------
    values, deviations : ndarray, shape (I, J, K)
        Map y and its standard deviation s; infinite where nothing is known.
    mask : ndarray of bool, shape (I, J, K)
        Where to smooth; values outside stay.
    voxel_size_mm : tuple of float
        mm; w falls with the squared distance, 1 for the nearest neighbours.
    weight : float
        λ, in units of 1/s².
    edge : float
        Huber's threshold, in units of the map.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        The minimum, but for what the last sweeps would change.

    Raises
    ------
    CancelledError
        If the caller asked to stop.
    """
    from ._decay_kernels import smooth_colour

    report = report or Reporter()
    box = bounding_box(mask)
    inside = np.pad(mask[box], 1)
    data = np.pad(values[box].astype(np.float32), 1)
    precision = np.zeros(data.shape, dtype=np.float32)
    precision[inside] = 1 / np.maximum(deviations[box][mask[box]], np.finfo(np.float32).eps).astype(np.float64) ** 2
    size = np.asarray(voxel_size_mm)
    axis_weights = weight * (size.min() / size) ** 2
    found = np.where(inside & (precision == 0), np.median(data[inside]), data)
    for sweep in range(2 * _SWEEPS):
        part = report.span(sweep / (2 * _SWEEPS), (sweep + 1) / (2 * _SWEEPS))
        in_slabs(smooth_colour, len(found) - 2, found, data, precision, inside, axis_weights, edge, sweep % 2,
                 thickness=PLANES, report=part, step="decay")  # fmt: skip
    smoothed = values.astype(np.float32)
    smoothed[box][mask[box]] = found[inside]
    return smoothed
