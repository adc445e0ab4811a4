"""Options from JSON: nested, checked, the rest by default."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.masking.bet import BetOptions
from ChiSepPreprocessLib.masking.quality import QualityOptions
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.pipeline import PRESETS, PreprocessOptions
from ChiSepPreprocessLib.registration.rigid import RegistrationOptions
from ChiSepPreprocessLib.relaxometry.r2 import R2Options


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
        ({"r2": {"t1_s": math.nan}}, "t1_s: got nan; expected finite numbers from -1000000 to 1000000"),
        ({"r2": {"t1_s": -math.inf}}, "t1_s: got -inf; expected finite"),
        ({"r2": {"t1_s": 10**400}}, "t1_s: got 10+.*; expected finite"),
        ({"registration": {"seed": 10**400}}, "seed: got 10+.*; expected finite"),
        ({"registration": {"samples": 3.0}}, "samples: got 3.0; expected a value like 30000"),
        ({"r2": {"echo_spacing_s": "15 ms"}}, "echo_spacing_s: got '15 ms'; expected a number or null"),
        ({"r2": {"echo_spacing_s": True}}, "echo_spacing_s: got True; expected a number or null"),
        ({"offset": {"sigma_mm": [7.0, 7.0]}}, r"sigma_mm: got \[7.0, 7.0\]; expected a value like \(7.0, 7.0, 7.0\)"),
        ({"offset": {"sigma_mm": [7.0, 7.0, math.nan]}}, r"sigma_mm: got \[7.0, 7.0, nan\]; expected finite"),
        ({"offset": {"sigma_mm": 7.0}}, "sigma_mm: got 7.0; expected a value like"),
        ({"registration": {"level_sizes_mm": [4, True]}}, r"level_sizes_mm: got \[4, True\]; expected a value like"),
        ({"unwrap": {"romeo": {"weights": [1]}}}, r"weights: got \[1\]; expected a value like"),
        ({"unwrap": {"romeo": {"weights": "romeo"}}}, "weights: got 'romeo'; expected a value like"),
        ({"r2": {"sub_slices": [1.0]}}, r"expected \[\[a number, a number, a number\], ...\]"),
        ({"r2": {"sub_slices": [[1.0, 1.0]]}}, r"sub_slices: got \[\[1.0, 1.0\]\]; expected"),
        ({"mask": {"quality": {"closing_mm": 1000}}}, "phase quality mask"),
        ({"mask": {"bet": {"subdivisions": 8}}}, "7 subdivisions"),
        ({"mask": {"bet": {"intersection_limit": 0}}}, "limit of self-intersection"),
        ({"registration": {"level_sizes_mm": [4, 0]}}, "registration levels"),
        ({3: 4, "x": 5}, "options: got 3, x"),
        ([1], "expected a JSON object"),
    ],
)
def test_wrong_options_are_named(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_mapping(PreprocessOptions, values, "options")


def test_lists_become_tuples_and_null_stays() -> None:
    given = {"echo_spacing_s": None, "sub_slices": [[1, 1, 0.9], [1, 0.5, 0.4]], "refocusing_angles_deg": [170, 150.5]}
    options = from_mapping(PreprocessOptions, {"r2": given}, "options").r2
    assert options.echo_spacing_s is None
    assert options.sub_slices == ((1, 1, 0.9), (1, 0.5, 0.4))
    assert options.refocusing_angles_deg == (170, 150.5)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_passes_through_json(name: str) -> None:
    plain = json.loads(json.dumps(asdict(PRESETS[name])))
    assert from_mapping(PreprocessOptions, plain, "options") == PRESETS[name]


@pytest.mark.parametrize(
    ("options_type", "values"),
    [
        (QualityOptions, {"closing_mm": math.nan}),
        (QualityOptions, {"opening_mm": math.nan}),
        (QualityOptions, {"threshold": math.nan}),
        (RegistrationOptions, {"level_sizes_mm": (4.0, math.nan)}),
        (RegistrationOptions, {"level_sizes_mm": (math.inf,)}),
        (BetOptions, {"intersection_limit": math.nan}),
        (BetOptions, {"gradient": math.nan}),
        (R2Options, {"echo_spacing_s": math.nan}),
        (R2Options, {"b1_smoothing_mm": math.inf}),
        (R2Options, {"refocusing_angles_deg": (math.nan,)}),
    ],
)
def test_constructors_refuse_what_is_not_finite(options_type: type, values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"nan|inf"):
        options_type(**values)


def test_base_gives_what_is_left_out() -> None:
    base = PRESETS["chi-sepnet"]
    options = from_mapping(PreprocessOptions, {"background": {"vsharp": {"threshold": 0.02}}}, "options", base)
    assert options.background.method == "v-sharp"
    assert (options.background.vsharp.maximum_radius_mm, options.background.vsharp.threshold) == (20.0, 0.02)
    assert options.r2star == base.r2star != PreprocessOptions().r2star
