"""The U-Net of QSMnet, R2PRIMEnet and χ-sepnet; its layer names are those of the published weights.

This module loads torch: import it inside functions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from .tiles import padded_shape

_POOLINGS = 4


class ConvolutionBlock(nn.Module):
    """3×3×3 convolution, batch normalisation, rectifier."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, 3, padding=1)
        self.bn = nn.BatchNorm3d(channels_out)

    def forward(self, images: Tensor) -> Tensor:
        """Same spatial shape, ``channels_out`` channels."""
        return torch.relu(self.bn(self.conv(images)))


class Upsampling(nn.Module):
    """Transposed convolution that doubles each axis and halves the channels."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose3d(channels_in, channels_in // 2, 2, stride=2)

    def forward(self, images: Tensor, skipped: Tensor) -> Tensor:
        """Doubled images, followed by the ``skipped`` ones of that resolution, along the channels."""
        return torch.cat((self.deconv(images), skipped), dim=1)


class Projection(nn.Module):
    """1×1×1 convolution to the output channels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Linear combination of the channels."""
        projected: Tensor = self.conv(images)
        return projected


class UNet(nn.Module):
    """3D U-Net with four poolings, in normalised space.

    Parameters
    ----------
    channels_in, channels_out : int
        Maps that go in and come out.
    base_width : int
        Channels of the first level; each of the four poolings doubles them. 32 in the papers.

    References
    ----------
    Yoon et al., NeuroImage 179:199 (2018); Kim et al. 2025 (χ-sepnet), section 2.2.
    """

    def __init__(self, channels_in: int, channels_out: int, base_width: int = 32) -> None:
        super().__init__()
        one, two, three, four, five = (base_width * 2**level for level in range(_POOLINGS + 1))
        self.conv11, self.conv12 = ConvolutionBlock(channels_in, one), ConvolutionBlock(one, one)
        self.conv21, self.conv22 = ConvolutionBlock(one, two), ConvolutionBlock(two, two)
        self.conv31, self.conv32 = ConvolutionBlock(two, three), ConvolutionBlock(three, three)
        self.conv41, self.conv42 = ConvolutionBlock(three, four), ConvolutionBlock(four, four)
        self.l_conv1, self.l_conv2 = ConvolutionBlock(four, five), ConvolutionBlock(five, five)
        self.deconv4, self.deconv3 = Upsampling(five), Upsampling(four)
        self.deconv2, self.deconv1 = Upsampling(three), Upsampling(two)
        self.conv51, self.conv52 = ConvolutionBlock(five, four), ConvolutionBlock(four, four)
        self.conv61, self.conv62 = ConvolutionBlock(four, three), ConvolutionBlock(three, three)
        self.conv71, self.conv72 = ConvolutionBlock(three, two), ConvolutionBlock(two, two)
        self.conv81, self.conv82 = ConvolutionBlock(two, one), ConvolutionBlock(one, one)
        self.out = Projection(one, channels_out)
        self.pool = nn.MaxPool3d(2)

    def forward(self, images: Tensor) -> Tensor:
        """Map images to images of the same size; zeros are added at the ends where the poolings do not divide it.

        Parameters
        ----------
        images : Tensor, shape (batch, channels_in, I, J, K)
            Normalised, 0 outside the mask.

        Returns
        -------
        Tensor, shape (batch, channels_out, I, J, K)
            Normalised; the caller restores the unit and sets negatives to 0.
        """
        i, j, k = images.shape[-3:]
        more = [after - n for n, after in zip((i, j, k), padded_shape((i, j, k)), strict=True)]
        if any(more):
            enlarged: Tensor = self(F.pad(images, (0, more[2], 0, more[1], 0, more[0])))
            return enlarged[..., :i, :j, :k]
        level1 = self.conv12(self.conv11(images))
        level2 = self.conv22(self.conv21(self.pool(level1)))
        level3 = self.conv32(self.conv31(self.pool(level2)))
        level4 = self.conv42(self.conv41(self.pool(level3)))
        up = self.l_conv2(self.l_conv1(self.pool(level4)))
        up = self.conv52(self.conv51(self.deconv4(up, level4)))
        up = self.conv62(self.conv61(self.deconv3(up, level3)))
        up = self.conv72(self.conv71(self.deconv2(up, level2)))
        up = self.conv82(self.conv81(self.deconv1(up, level1)))
        projected: Tensor = self.out(up)
        return projected


def qsmnet(base_width: int = 32) -> UNet:
    """QSMnet_ME: local field to QSM."""
    return UNet(1, 1, base_width)


def r2primenet(base_width: int = 32) -> UNet:
    """R2PRIMEnet: R2* to R2′."""
    return UNet(1, 1, base_width)


def chisepnet(base_width: int = 32) -> UNet:
    """χ-sepnet: (QSM, local field, R2′) to (χ_para, χ_dia)."""
    return UNet(3, 2, base_width)
