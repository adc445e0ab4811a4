"""The choice between the ways of unwrapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..artifacts import Array
from ..options import check_choice
from ..progress import Reporter
from . import laplacian, romeo

UnwrapMethod = Literal["romeo", "laplacian"]


@dataclass(frozen=True, kw_only=True)
class UnwrapOptions:
    """Options of :func:`unwrap_echoes`.

    Parameters
    ----------
    method : {"romeo", "laplacian"}
        ``"romeo"`` is exact up to multiples of 2π. ``"laplacian"`` always gives a smooth result,
        with a harmonic error: a fallback.
    romeo, laplacian
        Options of each method.
    """

    method: UnwrapMethod = "romeo"
    romeo: romeo.RomeoOptions = field(default_factory=romeo.RomeoOptions)
    laplacian: laplacian.LaplacianOptions = field(default_factory=laplacian.LaplacianOptions)

    def __post_init__(self) -> None:
        check_choice("unwrapping method", self.method, UnwrapMethod)


def unwrap_echoes(
    phase: Array,
    magnitude: Array | None,
    echo_times_s: Sequence[float],
    mask: Array,
    voxel_size_mm: Sequence[float],
    options: UnwrapOptions,
    report: Reporter,
) -> Array:
    """Unwrap multi-echo phase by the chosen method.

    Parameters
    ----------
    phase : ndarray, shape (I, J, K, E)
        rad; proportional to the echo time.
    magnitude : ndarray, shape (I, J, K, E), or None
        a.u.
    echo_times_s : sequence of float
        E times, s.
    mask : ndarray of bool, shape (I, J, K)
        What to unwrap.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : UnwrapOptions
        See there.
    report : Reporter
        Progress.

    Returns
    -------
    ndarray of float32, shape (I, J, K, E)
        rad; 0 outside the mask.

    Raises
    ------
    InputError
        If the arrays do not belong together or there is no such template echo.
    """
    if options.method == "romeo":
        return romeo.unwrap(phase, magnitude, echo_times_s, mask, options.romeo, report)
    return laplacian.unwrap(phase, echo_times_s, mask, voxel_size_mm, options.laplacian, report)
