"""Spin echo, FLAIR and T1 beside the gradient echo: images and labels from either grid to the other."""

from __future__ import annotations

from dataclasses import dataclass

from ..artifacts import Array, Grid, Image
from ..geometry.resampling import Mask, resample
from ..progress import Reporter
from .alignment import Alignment
from .rigid import RegistrationOptions, align


@dataclass(frozen=True, eq=False)
class Registered:
    """An image of the same head, and the way between its grid and the GRE's.

    Parameters
    ----------
    gre_grid, own_grid : Grid
        Of the GRE and of the image.
    alignment : Alignment
        The GRE is the fixed image; holds score, motion and warnings.
    """

    gre_grid: Grid
    own_grid: Grid
    alignment: Alignment

    @property
    def grid_in_place(self) -> Grid:
        """The image's grid moved to where its tissue lies in the GRE: images on it need no resampling."""
        return Grid(self.own_grid.shape, self.alignment.fixed_from_moving_ras @ self.own_grid.affine)

    def onto_gre(self, data: Array, *, nearest: bool = False) -> Array:
        """Bring data of the image's grid, such as FLAIR or its lesions, onto the GRE's grid.

        Parameters
        ----------
        data : ndarray, shape (I, J, K) or (I, J, K, E)
            On the image's grid.
        nearest : bool
            For labels; masks always take the nearest voxel.

        Returns
        -------
        ndarray
            On the GRE's grid; 0 where the image has no voxel.

        Raises
        ------
        InputError
            If the data do not fit the image's grid.
        """
        matrix = self.alignment.moving_from_fixed_ras
        return resample(data, self.own_grid, self.gre_grid, matrix, nearest=nearest)

    def onto_own(self, data: Array, *, nearest: bool = False) -> Array:
        """Bring data of the GRE's grid, such as χ maps, onto the image's grid; see :meth:`onto_gre`."""
        matrix = self.alignment.fixed_from_moving_ras
        return resample(data, self.gre_grid, self.own_grid, matrix, nearest=nearest)


def register_to_gre(
    image: Image, gre: Image, brain_mask: Mask | None = None, options: RegistrationOptions | None = None,
    report: Reporter | None = None,
) -> Registered:  # fmt: skip
    """Register an image rigidly to the gradient echo; see :func:`.rigid.align`.

    Parameters
    ----------
    image : Image
        FLAIR, T1 or the first spin echo.
    gre : Image
        GRE magnitude, the root of the sum of squares over echoes.
    brain_mask : ndarray of bool, shape (I, J, K), optional
        On the GRE's grid.
    options : RegistrationOptions, optional
        Levels and sampling.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Registered
        Resamples either way, by one interpolation.

    Raises
    ------
    InputError
        If an image cannot be registered.
    CancelledError
        If the caller asked to stop.
    """
    return Registered(gre.grid, image.grid, align(gre, image, brain_mask, options, report))
