"""QSM of a local field by a QSMnet, which may start from what total variation makes of that field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.progress import Reporter

from ..solvers.field_problem import field_problem
from ..solvers.tv import TvOptions, total_variation
from .engine import Engine
from .field_of_view import through_network
from .normalisation import Normalisation
from .weights.weight_set import START, added_inputs

if TYPE_CHECKING:
    from .unet import UNet

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]
Vector = tuple[float, float, float]

#: Of the progress of a QSMnet that starts from total variation.
_SHARE_OF_START = 0.4

#: A scan stands for the direction of B0 alone.
_ALONG_THIRD_AXIS = ScanParameters(echo_times_s=(0.02,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))


def inverted(
    engine: Engine, network: UNet, inputs: Sequence[str], scales: Mapping[str, Normalisation],
    local_field_ppm: Volume, mask: Mask, voxel_size_mm: Vector, report: Reporter,
) -> Volume:  # fmt: skip
    """QSM of a field whose voxels have the size of the training's.

    Parameters
    ----------
    engine : Engine
        Runs the network.
    network : UNet
        QSMnet.
    inputs : sequence of str
        Its inputs by artifact.
    scales : mapping of artifact to Normalisation
        Of inputs and output.
    local_field_ppm : ndarray of float32, shape (I, J, K)
        B0 along the third axis.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    voxel_size_mm : tuple of float
        mm.
    report : Reporter
        For progress and cancelling.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        ppm, 0 outside the brain.
    """
    maps = {"local_field": local_field_ppm}
    if START in inputs:
        part = report.span(0, _SHARE_OF_START)
        maps[START] = engine.beside(lambda device: tv_start(local_field_ppm, mask, voxel_size_mm, part, device))
        report = report.span(_SHARE_OF_START, 1)
    images = np.stack([scales[name].normalise(maps[name], mask) for name in inputs])
    found = through_network(engine, network, images, mask, report, "qsmnet", 1, added_inputs(inputs))
    return scales["chi_total"].restore(found[0], mask)


def tv_start(
    local_field_ppm: Volume, mask: Mask, voxel_size_mm: Vector, report: Reporter, device: str | None = None
) -> Volume:
    """QSM by total variation with its default options, without weights, as the training had none.

    Parameters
    ----------
    local_field_ppm : ndarray of float32, shape (I, J, K)
        B0 along the third axis.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    voxel_size_mm : tuple of float
        mm.
    report : Reporter
        For progress and cancelling.
    device : str, optional
        PyTorch's name; the fastest if absent.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        ppm, with mean 0 in the brain and 0 outside.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    grid, options = Grid(mask.shape, np.diag([*voxel_size_mm, 1.0])), TvOptions()
    field = Map(name="local_field", data=local_field_ppm, grid=grid)
    maps = MapSet(grid, _ALONG_THIRD_AXIS, {field.name: field})
    problem = field_problem(maps, mask, padding=options.padding, device=device)
    chi: Volume = total_variation(problem, None, options, report).x.cpu().numpy()
    return np.where(mask, chi - chi[mask].mean(dtype=np.float64), 0).astype(np.float32)
