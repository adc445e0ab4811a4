"""Colour tables as plain data, computed in CIELAB so that lightness is linear in the value.

Zero is black in every table. Warm hues mean paramagnetic, cool hues diamagnetic, and the diverging table joins
the two at zero, so one colour means one thing in every map. The hues lie on the blue-yellow axis, which people with
red-green colour blindness see.

References
----------
P. Kovesi, "Good colour maps: how to design them", arXiv:1509.03700, 2015 (lightness linear in the value).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Table = NDArray[np.float64]

#: Colours in each table.
SIZE = 256

PARA = "ChiSep Para"
DIA = "ChiSep Dia"
DIVERGING = "ChiSep Diverging"
RATE = "ChiSep Rate"
MASK = "ChiSep Mask"

#: Lightness L* of the brightest colour; the diverging table stops lower, where hues are still vivid.
BRIGHTEST = 92.0
BRIGHTEST_DIVERGING = 80.0

#: Chroma C* that no colour exceeds, and the number of neighbours over which sRGB's own limit is smoothed.
_MOST_CHROMA = 70.0
_SMOOTHING = 17

_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
_RGB_FROM_XYZ = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


def _linear_rgb(lightness: Table, chroma: Table, hue_deg: Table) -> Table:
    """Linear RGB, shape (..., 3), of CIE LCh colours (CIE 15:2004, D65)."""
    fy = (lightness + 16.0) / 116.0
    a, b = chroma * np.cos(np.deg2rad(hue_deg)), chroma * np.sin(np.deg2rad(hue_deg))
    f = np.stack([fy + a / 500.0, fy, fy - b / 200.0], axis=-1)
    xyz = np.where(f > 6.0 / 29.0, f**3, 3.0 * (6.0 / 29.0) ** 2 * (f - 4.0 / 29.0))
    return np.asarray((xyz * _WHITE_D65) @ _RGB_FROM_XYZ.T)


def _encode(linear: Table) -> Table:
    """Transfer function of sRGB (IEC 61966-2-1)."""
    clipped = np.clip(linear, 0.0, 1.0)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1.0 / 2.4) - 0.055)


def _largest_chroma(lightness: Table, hue_deg: Table) -> Table:
    """Chroma at which sRGB ends, by bisection, for each colour."""
    low, high = np.zeros_like(lightness), np.full_like(lightness, 150.0)
    for _ in range(30):
        middle = (low + high) / 2.0
        rgb = _linear_rgb(lightness, middle, hue_deg)
        inside = np.all((rgb >= -1e-9) & (rgb <= 1.0 + 1e-9), axis=-1)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def _smooth_limit(limit: Table) -> Table:
    """Least of the neighbours, then their mean: smooth and nowhere above ``limit``."""
    ends = _SMOOTHING // 2
    for combine in (np.min, np.mean):
        padded = np.pad(limit, ends, mode="edge")
        limit = combine(np.lib.stride_tricks.sliding_window_view(padded, _SMOOTHING), axis=-1)
    return limit


def _sequential(hue_from_deg: float, hue_to_deg: float, brightest: float = BRIGHTEST, size: int = SIZE) -> Table:
    """Black to L* ``brightest``, L* linear and the hue turning evenly."""
    step = np.linspace(0.0, 1.0, size)
    lightness = brightest * step
    hue = hue_from_deg + (hue_to_deg - hue_from_deg) * step
    chroma = _smooth_limit(np.minimum(_largest_chroma(lightness, hue), _MOST_CHROMA))
    return _encode(_linear_rgb(lightness, chroma, hue))


def _para(brightest: float = BRIGHTEST, size: int = SIZE) -> Table:
    return _sequential(25.0, 98.0, brightest, size)


def _dia(brightest: float = BRIGHTEST, size: int = SIZE) -> Table:
    return _sequential(285.0, 215.0, brightest, size)


def _diverging() -> Table:
    """Dia, reversed, then para; the two darkest colours straddle zero."""
    half = SIZE // 2
    return np.concatenate([_dia(BRIGHTEST_DIVERGING, half)[::-1], _para(BRIGHTEST_DIVERGING, half)])


def _rate() -> Table:
    return _sequential(320.0, 105.0)


_MAKERS: Mapping[str, Callable[[], Table]] = MappingProxyType(
    {PARA: _para, DIA: _dia, DIVERGING: _diverging, RATE: _rate}
)

#: Names of the continuous tables.
TABLE_NAMES = tuple(_MAKERS)

#: Colour of a mask, RGB in 0 to 1.
MASK_COLOR = (0.35, 0.70, 0.90)

#: Colours of lesions in turn, RGB in 0 to 1: bright green, pink and white, which no table runs through.
CATEGORICAL = ((0.45, 1.0, 0.45), (1.0, 0.45, 0.95), (1.0, 1.0, 1.0))


@cache
def color_table(name: str) -> Table:
    """Colours of one table.

    Parameters
    ----------
    name : str
        One of :data:`TABLE_NAMES`.

    Returns
    -------
    ndarray, shape (256, 3)
        sRGB from 0 to 1, read-only; the first colour is for the smallest value.

    Raises
    ------
    InputError
        If there is no table of that name.
    """
    if name not in _MAKERS:
        raise InputError("colour table", name, f"one of {', '.join(TABLE_NAMES)}")
    table = _MAKERS[name]()
    table.setflags(write=False)
    return table
