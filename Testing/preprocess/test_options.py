"""Options from JSON: nested, checked, the rest by default."""

from __future__ import annotations

from typing import Any

import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.pipeline import PRESETS, PreprocessOptions


def test_nested_values_are_taken_and_the_rest_is_default() -> None:
    options = from_mapping(
        PreprocessOptions,
        {
            "background": {"vsharp": {"maximum_radius_mm": 20}},
            "offset": {"sigma_mm": [5, 5, 5]},
            "pseudo_r2_per_s": 12.5,
        },
        "options",
    )
    assert options.background.vsharp.maximum_radius_mm == 20
    assert options.background.vsharp.threshold == PreprocessOptions().background.vsharp.threshold
    assert options.offset.sigma_mm == (5, 5, 5)
    assert options.pseudo_r2_per_s == 12.5
    assert options.mask == PreprocessOptions().mask


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backgound": {}}, "options: got backgound; expected some of denoise"),
        ({"background": {"radius": 3}}, "options, background: got radius"),
        ({"background": 12}, "options, background: got 12; expected a JSON object"),
        (
            {"background": {"vsharp": {"maximum_radius_mm": "20"}}},
            "maximum_radius_mm: got '20'; expected a value like 12.0",
        ),
        ({"unwrap": {"romeo": {"individual": 1}}}, "individual: got 1; expected a value like False"),
        ({"pseudo_r2_per_s": True}, "pseudo_r2_per_s: got True"),
        ([1], "expected a JSON object"),
    ],
)
def test_wrong_options_are_named(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_mapping(PreprocessOptions, values, "options")


def test_base_gives_what_is_left_out() -> None:
    base = PRESETS["chi-sepnet"]
    options = from_mapping(PreprocessOptions, {"background": {"vsharp": {"threshold": 0.02}}}, "options", base)
    assert options.background.method == "v-sharp"
    assert (options.background.vsharp.maximum_radius_mm, options.background.vsharp.threshold) == (20.0, 0.02)
    assert options.r2star == base.r2star != PreprocessOptions().r2star
