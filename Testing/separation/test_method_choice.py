"""What "auto" stands for: χ-sepnet where weights fit, by the R2′ that there is; else the closed form, said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ChiSeparationLib.arguments import method_names
from ChiSeparationLib.method_choice import chosen_methods, has_measured_r2prime, resolved
from ChiSepPreprocessLib.artifacts import Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.quantities import PAPER_FIELD_STRENGTH_T
from installed_weights import axial_grid, install, map_set

pytestmark = pytest.mark.usefixtures("data_folder")


def maps_with(r2prime: str | None, field_strength_t: float = PAPER_FIELD_STRENGTH_T) -> MapSet:
    grid = axial_grid((4, 5, 6), 1.0)
    found = map_set(grid, field_strength_t, local_field=np.ones(grid.shape, np.float32))
    if r2prime is None:
        return found
    return found.including(Map(name="r2prime", data=np.ones(grid.shape, np.float32), grid=grid, method=r2prime))


@pytest.mark.parametrize(
    ("r2prime", "name"),
    [("measured", "chi-sepnet-r2prime"), ("given", "chi-sepnet-r2prime"), ("pseudo-r2", "chi-sepnet-r2star"),
     ("scaled-r2star", "chi-sepnet-r2star"), (None, "chi-sepnet-r2star")],
)  # fmt: skip
def test_auto_follows_the_r2prime(r2prime: str | None, name: str) -> None:
    install()
    maps = maps_with(r2prime)
    has = has_measured_r2prime(maps)
    assert resolved(("auto",), None, maps.scan, has_r2prime=has) == ((name,), ())
    assert resolved(("tkd", "auto", name), None, maps.scan, has_r2prime=has) == (("tkd", name), ())


def test_without_weights_that_fit_auto_is_the_closed_form_and_says_why() -> None:
    names, (warning,) = resolved(("auto",), None, maps_with("measured").scan, has_r2prime=True)
    assert names == ("closed-form",)
    assert warning.startswith("No networks: the χ maps are those of closed-form, as chi-sepnet-r2prime cannot run. ")
    install()
    seven_tesla = replace(maps_with("measured").scan, field_strength_t=7.0, imaging_frequency_hz=None)
    names, (warning,) = resolved(("auto",), None, seven_tesla, has_r2prime=True)
    assert names == ("closed-form",) and "7" in warning
    allowed = {"chi-sepnet-r2prime": {"other_field_strength": True}}
    assert resolved(("auto",), allowed, seven_tesla, has_r2prime=True) == (("chi-sepnet-r2prime",), ())


def test_other_names_stay_as_they_are() -> None:
    scan = maps_with(None).scan
    assert resolved(("tv", "medi"), None, scan, has_r2prime=False) == (("tv", "medi"), ())
    assert method_names("auto, tv,auto") == ("auto", "tv")
    with pytest.raises(InputError, match="'automatic'"):
        method_names("automatic")
    assert list(chosen_methods(("auto", "closed-form"), None, "maps")) == ["closed-form"]
    assert list(chosen_methods(("auto", "closed-form"), None, "r2primenet")) == ["r2primenet", "closed-form"]
