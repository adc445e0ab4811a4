"""Losses of the three networks, in the form of the papers and in that of the authors' code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ChiSepPreprocessLib.dipole import dipole_kernel

from ..networks.weights.weight_set import CLOSED_FORM
from .data import VOXEL_SIZE_MM
from .options import LossOptions

if TYPE_CHECKING:
    from torch import Tensor

    from .examples import TrainingSet

_SPATIAL = (2, 3, 4)

#: Edge of the blocks of the coarse loss: a lesion of 64 mm³.
_BLOCK_VOXELS = 4

#: One of each pair of opposite neighbours.
_HALF_OF_NEIGHBOURS = [offset for offset in product((-1, 0, 1), repeat=3) if offset > (0, 0, 0)]


def l1_loss(estimate: Tensor, label: Tensor) -> Tensor:
    """Mean of ``|estimate − label|`` of each map, summed over the maps (Kim et al. 2025, equation 1).

    Parameters
    ----------
    estimate, label : Tensor, shape (B, C, I, J, K)
        Normalised.
    """
    return estimate.shape[1] * (estimate - label).abs().mean()


def gradient_loss(estimate: Tensor, label: Tensor) -> Tensor:
    """Mean of ``||∂estimate| − |∂label||``, summed over axes and maps (Kim et al. 2025, equations 2 and 9).

    Parameters
    ----------
    estimate, label : Tensor, shape (B, C, I, J, K)
        Normalised.
    """
    terms = [(estimate.diff(dim=axis).abs() - label.diff(dim=axis).abs()).abs().mean() for axis in _SPATIAL]
    return estimate.shape[1] * sum(terms, start=estimate.new_zeros(()))


def coarse_loss(estimate: Tensor, label: Tensor) -> Tensor:
    """Mean of ``|estimate − label|`` after averaging over blocks of 4³ voxels, summed over the maps; not published.

    Noise averages out and the offset of a small region stays: it weighs what flattens the contrast of lesions.

    Parameters
    ----------
    estimate, label : Tensor, shape (B, C, I, J, K)
        Normalised.
    """
    from torch.nn.functional import avg_pool3d

    return estimate.shape[1] * avg_pool3d(estimate - label, _BLOCK_VOXELS).abs().mean()


def neighbour_loss(estimate: Tensor, label: Tensor) -> Tensor:
    """Mean over 26 neighbours of ``|max(Δestimate, 0) − max(Δlabel, 0)|`` by their distance, summed over the maps.

    The gradient loss of the authors' code, there with zeros around the patch.

    Parameters
    ----------
    estimate, label : Tensor, shape (B, C, I, J, K)
        Normalised.
    """
    total = estimate.new_zeros(())
    for offset in _HALF_OF_NEIGHBOURS:
        own, other = _difference(estimate, offset), _difference(label, offset)
        pair = (own.relu() - other.relu()).abs().mean() + ((-own).relu() - (-other).relu()).abs().mean()
        total = total + pair / float(np.linalg.norm(offset))
    return estimate.shape[1] * total / (2 * len(_HALF_OF_NEIGHBOURS))


def _difference(images: Tensor, offset: Sequence[int]) -> Tensor:
    """Neighbour at an offset minus the voxel itself, where both are in the images."""
    here, there = images, images
    for axis, step in zip(_SPATIAL, offset, strict=True):
        count = images.shape[axis] - abs(step)
        here = here.narrow(axis, max(-step, 0), count)
        there = there.narrow(axis, max(step, 0), count)
    return there - here


class PatchDipole:
    """Field of the sources in a patch by circular convolution with the dipole, B0 along the third axis.

    As published; the authors' kernel has D(0) = 1/3, this one 0.

    Parameters
    ----------
    size : int
        Edge of the patches, voxels of 1 mm.
    """

    def __init__(self, size: int) -> None:
        import torch

        kernel = dipole_kernel((size,) * 3, (VOXEL_SIZE_MM,) * 3, (0.0, 0.0, 1.0))
        self._kernel = torch.from_numpy(kernel)

    def __call__(self, chi: Tensor) -> Tensor:
        """Field of a susceptibility, shape (B, 1, N, N, N); linear, and its own adjoint."""
        import torch

        if self._kernel.dtype != chi.dtype or self._kernel.device != chi.device:
            self._kernel = self._kernel.to(chi)
        spectrum = torch.fft.rfftn(chi, dim=_SPATIAL) * self._kernel
        return torch.fft.irfftn(spectrum, s=chi.shape[2:], dim=_SPATIAL)


class TrainingLoss:
    """Weighted sum of the reconstruction, gradient and model losses.

    Parameters
    ----------
    data : TrainingSet
        Names the maps and their scales.
    options : LossOptions
    size : int
        Edge of the patches, voxels.

    References
    ----------
    Kim et al. 2025 (χ-sepnet), equations 1 to 9; Jung et al., NeuroImage 211:116619 (2020) (QSMnet+).
    """

    def __init__(self, data: TrainingSet, options: LossOptions, size: int) -> None:
        self.inputs, self.outputs, self.options = data.inputs, data.outputs, options
        self._scales = data.constants.normalisation
        self._dipole = PatchDipole(size)

    def __call__(self, estimate: Tensor, inputs: Tensor, label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Every term, and their weighted sum as ``loss``.

        Parameters
        ----------
        estimate, inputs, label : Tensor, shape (B, C, N, N, N)
            Normalised, in the order of the network's channels.
        mask : Tensor, shape (B, 1, N, N, N)
            1 in the brain, else 0.
        """
        options, is_paper = self.options, self.options.form == "paper"
        compared = estimate * mask if options.inside_mask else estimate
        terms = {"l1": l1_loss(compared, label)}
        if not is_paper:
            terms["l1"] = terms["l1"] / estimate.shape[1]
        loss = options.l1 * terms["l1"]
        if options.gradient:
            terms["gradient"] = (gradient_loss if is_paper else neighbour_loss)(compared, label)
            loss = loss + options.gradient * terms["gradient"]
        if options.coarse:
            terms["coarse"] = coarse_loss(compared, label)
            loss = loss + options.coarse * terms["coarse"]
        if options.model:
            for name, term in self._model_terms(estimate, inputs, label, mask):
                terms[name] = term
                loss = loss + options.model * term
        return {"loss": loss, **terms}

    def _model_terms(
        self, estimate: Tensor, inputs: Tensor, label: Tensor, mask: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        """Terms of the model in ppm or, in the paper's form, in standard deviations of their maps."""
        if self.outputs == ("r2prime",):
            return
        found, true = (self._in_ppm(self.outputs, images, mask) for images in (estimate, label))
        given = dict(zip(self.inputs, self._in_ppm(self.inputs, inputs, mask), strict=True))
        if CLOSED_FORM[0] in given:
            para, dia = (given[name] for name in CLOSED_FORM)
            given |= {"chi_total": para - dia, "r2prime": para + dia}
        chi, true_chi = (one[0] - one[1] if len(one) == 2 else one[0] for one in (found, true))
        if "chi_total" in given:
            yield "model_qsm", self._mean("chi_total", chi - given["chi_total"])
        if "local_field" in given and self.options.field_target != "none":
            measured = self.options.field_target == "measured"
            difference = self._dipole(chi) - given["local_field"] if measured else self._dipole(chi - true_chi)
            yield "model_field", self._mean("local_field", difference * mask)
        if "r2prime" in given:
            yield "model_r2prime", self._mean("r2prime", found[0] + found[1] - given["r2prime"])

    def _in_ppm(self, names: Sequence[str], images: Tensor, mask: Tensor) -> list[Tensor]:
        """Maps in ppm, 0 outside the brain, each of shape (B, 1, N, N, N)."""
        scales = (self._scales[name] for name in names)
        return [(images[:, n : n + 1] * one.std + one.mean) * mask for n, one in enumerate(scales)]

    def _mean(self, name: str, difference: Tensor) -> Tensor:
        mean = difference.abs().mean()
        return mean / self._scales[name].std if self.options.form == "paper" else mean
