"""Options from JSON: nested, checked, the rest by default."""

from __future__ import annotations

from typing import Any

import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.pipeline import PreprocessOptions


def test_nested_values_are_taken_and_the_rest_is_default() -> None:
    options = from_mapping(
        PreprocessOptions,
        {"background": {"maximum_radius_mm": 20}, "offset": {"sigma_mm": [5, 5, 5]}, "pseudo_r2_per_s": 12.5},
        "options",
    )
    assert options.background.maximum_radius_mm == 20
    assert options.background.threshold == PreprocessOptions().background.threshold
    assert options.offset.sigma_mm == (5, 5, 5)
    assert options.pseudo_r2_per_s == 12.5
    assert options.mask == PreprocessOptions().mask


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backgound": {}}, "options: got backgound; expected some of mask"),
        ({"background": {"radius": 3}}, "options, background: got radius"),
        ({"background": 12}, "options, background: got 12; expected a JSON object"),
        ({"background": {"maximum_radius_mm": "20"}}, "maximum_radius_mm: got '20'; expected a value like 12.0"),
        ({"unwrap": {"individual": 1}}, "individual: got 1; expected a value like False"),
        ({"pseudo_r2_per_s": True}, "pseudo_r2_per_s: got True"),
        ([1], "expected a JSON object"),
    ],
)
def test_wrong_options_are_named(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_mapping(PreprocessOptions, values, "options")
