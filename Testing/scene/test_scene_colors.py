"""Colour tables: lightness and colour vision, checked with scikit-image's CIELAB and published matrices."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.colors import (
    BRIGHTEST,
    BRIGHTEST_DIVERGING,
    CATEGORICAL,
    DIA,
    DIVERGING,
    PARA,
    RATE,
    SIZE,
    TABLE_NAMES,
    color_table,
)

SEQUENTIAL = (PARA, DIA, RATE)

#: Full dichromacy on linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, table 1, severity 1.
COLOR_VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def seen_lab(rgb: np.ndarray, vision: str) -> np.ndarray:
    """CIELAB of colours as seen with a kind of colour vision."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ COLOR_VISION[vision].T, 0.0, 1.0)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return rgb2lab(encoded[None])[0]


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_tables_hold_256_colors_in_range_and_cannot_be_changed(name: str) -> None:
    table = color_table(name)
    assert table.shape == (SIZE, 3)
    assert table.min() >= 0.0 and table.max() <= 1.0
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1.0


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_lightness_of_sequential_tables_is_linear(name: str) -> None:
    lightness = rgb2lab(color_table(name)[None])[0, :, 0]
    np.testing.assert_allclose(lightness, np.linspace(0.0, BRIGHTEST, SIZE), atol=0.001)


def test_lightness_of_the_diverging_table_is_linear_and_symmetric() -> None:
    lightness = rgb2lab(color_table(DIVERGING)[None])[0, :, 0]
    half = np.linspace(0.0, BRIGHTEST_DIVERGING, SIZE // 2)
    np.testing.assert_allclose(lightness[SIZE // 2 :], half, atol=0.001)
    np.testing.assert_allclose(lightness, lightness[::-1], atol=0.001)


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_neighbouring_colors_differ_by_small_even_steps(name: str) -> None:
    lab = rgb2lab(color_table(name)[None])[0]
    steps = deltaE_ciede2000(lab[1:], lab[:-1])
    if name == DIVERGING:
        assert steps[SIZE // 2 - 1] < 1e-4  # both sides of zero are black
        steps = np.delete(steps, SIZE // 2 - 1)
    assert steps.min() > 0.2
    assert steps.max() < 1.7


@pytest.mark.parametrize("vision", COLOR_VISION)
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_order_is_seen_with_every_color_vision(name: str, vision: str) -> None:
    lightness = seen_lab(color_table(name), vision)[:, 0]
    assert np.all(np.diff(lightness) > 0.0)


@pytest.mark.parametrize("vision", COLOR_VISION)
def test_para_and_dia_are_told_apart_with_every_color_vision(vision: str) -> None:
    para, dia = (seen_lab(color_table(name), vision) for name in (PARA, DIA))
    difference = deltaE_ciede2000(para, dia)
    # Near zero both are black, as they should be; from an eighth of the range on the difference is plain.
    assert difference[0] < 1e-3
    assert difference[SIZE // 8 :].min() > 23.0


@pytest.mark.parametrize("vision", COLOR_VISION)
def test_sign_is_seen_with_every_color_vision(vision: str) -> None:
    lab = seen_lab(color_table(DIVERGING), vision)
    difference = deltaE_ciede2000(lab[SIZE // 2 :], lab[SIZE // 2 - 1 :: -1])
    assert difference[SIZE // 8 :].min() > 30.0


def test_warm_is_paramagnetic_and_cool_is_diamagnetic() -> None:
    para, dia, both = (rgb2lab(color_table(name)[None])[0] for name in (PARA, DIA, DIVERGING))
    assert para[SIZE // 2, 2] > 40.0 > -20.0 > dia[SIZE // 2, 2]
    assert both[-1, 2] > 40.0 and both[0, 2] < -20.0
    np.testing.assert_allclose(both[SIZE // 2 - 1 : SIZE // 2 + 1], 0.0, atol=0.001)


@pytest.mark.parametrize("vision", COLOR_VISION)
def test_lesion_colors_are_told_apart(vision: str) -> None:
    lab = seen_lab(np.array(CATEGORICAL), vision)
    for first in range(len(lab)):
        for second in range(first):
            assert deltaE_ciede2000(lab[first], lab[second]) > 15.0


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_lesion_colors_stand_out_from_the_tables(name: str) -> None:
    table, lesions = rgb2lab(color_table(name)[None])[0], rgb2lab(np.array(CATEGORICAL)[None])[0]
    for color in lesions:
        assert deltaE_ciede2000(table, np.broadcast_to(color, table.shape)).min() > 8.0


def test_unknown_table_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="ChiSep Para"):
        color_table("jet")
