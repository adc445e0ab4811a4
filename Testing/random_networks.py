"""Networks of random weights whose activations have the scale of trained ones, and brain-like images for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ChiSepReconstructLib.networks.unet import UNet

Shape = tuple[int, int, int]


def brain_images(channels: int, shape: Shape, brain: Shape, seed: int = 0) -> NDArray[np.float32]:
    """Texture of mean 0 and standard deviation 1 at three scales in a centred ellipsoid, 0 outside.

    Parameters
    ----------
    channels : int
    shape, brain : tuple of int
        Of the volume, and the ellipsoid's diameters, in voxels.
    seed : int

    Returns
    -------
    float array, shape (channels, I, J, K)
    """
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    inside = sum(((2 * at - n + 1) / size) ** 2 for at, n, size in zip(axes, shape, brain, strict=True)) <= 1
    images = np.zeros((channels, *shape), dtype=np.float32)
    for image in images:
        for sigma in (0.7, 2.0, 6.0):
            layer = gaussian_filter(random.standard_normal(shape, dtype=np.float32), sigma)
            image += layer / layer.std() / np.sqrt(3)
        image *= inside
    return images


def consistent_network(
    channels_in: int, channels_out: int, base_width: int, seed: int = 0, *, calibration: Shape = (64, 64, 64)
) -> UNet:
    """Random network whose running statistics are those of its own activations for brain-like images.

    Weights after He et al. 2015, scales of the batch normalisation around 1, shifts around 0: a rectifier then passes
    about half of its inputs, as in a trained network. With an initialisation that is not made consistent, the
    activations fade and the output hardly depends on the images.
    """
    import torch
    from torch import nn

    from ChiSepReconstructLib.networks.unet import UNet

    torch.manual_seed(seed)
    network = UNet(channels_in, channels_out, base_width).train()
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0.0, 0.2)
            module.momentum = 1.0
    brain = (calibration[0] * 7 // 8, calibration[1] * 7 // 8, calibration[2] * 7 // 8)
    with torch.no_grad():
        network(torch.from_numpy(brain_images(channels_in, calibration, brain, seed))[None])
    return network.eval()
