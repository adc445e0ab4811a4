"""R2′ of R2PRIMEnet for the methods that use R2′: the same maps as with that R2′ handed in, named in every record."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import installed_weights
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Status
from ChiSepReconstructLib.methods import METHODS
from ChiSepReconstructLib.networks.options import NetworkOptions
from ChiSepReconstructLib.pipeline import reconstruct

_SHAPE = (22, 19, 20)
_USING = [name for name, one in METHODS.items() if one.uses_r2prime]

pytestmark = pytest.mark.usefixtures("data_folder")


@cache
def head(angle_deg: float = 0.0, field_strength_t: float = 3.0) -> MapSet:
    """Noise in an ellipsoid, turned about the first axis of the scanner."""
    rng = np.random.default_rng(3)
    axes = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in _SHAPE), indexing="ij", sparse=True)
    rate, (sine, cosine) = rng.uniform(2.0, 9.0, _SHAPE), (f(np.deg2rad(angle_deg)) for f in (np.sin, np.cos))
    turn = np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]])
    grid = Grid(_SHAPE, turn)
    return installed_weights.map_set(
        grid, field_strength_t, local_field=rng.normal(0.0, 0.01, _SHAPE), r2prime=rate, r2star=rate + 14.0,
        brain_mask=np.asarray(sum(axis**2 for axis in axes) < 1),
    )  # fmt: skip


def without(maps: MapSet, *names: str) -> MapSet:
    return replace(maps, maps={name: one for name, one in maps.items() if name not in names})


def turned_heads(name: str) -> tuple[MapSet, ...]:
    """The same brain with B0 in other directions, on the first one's grid."""
    if METHODS[name].orientations == 1:
        return ()
    others = (head(angle) for angle in (35.0, -30.0))
    grid = head().grid
    return tuple(MapSet(grid, one.scan, {key: replace(each, grid=grid) for key, each in one.items()}) for one in others)


def test_the_methods_that_use_r2prime_are_these() -> None:
    assert _USING == [
        "closed-form", "chi-sep-medi", "chi-sep-ilsqr", "apart", "emmerich", "chi-sepnet-r2prime", "chi-sep-cosmos",
    ]  # fmt: skip


@pytest.mark.parametrize("name", _USING)
def test_maps_are_those_of_the_synthesised_r2prime_handed_in(name: str) -> None:
    weights = installed_weights.install()
    others, file = turned_heads(name), weights.networks["r2primenet"]
    made = reconstruct(without(head(), "r2prime"), method=name, r2prime_source="r2primenet",
                       orientations=[without(one, "r2prime") for one in others])  # fmt: skip
    mask, synthesised = head().array("brain_mask"), made["r2prime"]
    assert synthesised.method == "r2primenet"
    assert synthesised.data.min() >= 0
    assert synthesised.data[mask].std() > 0.1
    assert not synthesised.data[~mask].any()
    measured = reconstruct(head(), method=name, orientations=others)
    handed_in = reconstruct(
        head().including(synthesised), method=name,
        orientations=[one.including(reconstruct(one, method="r2primenet")["r2prime"]) for one in others],
    )  # fmt: skip
    for key in ("chi_para", "chi_dia"):
        np.testing.assert_array_equal(made.array(key), handed_in.array(key))
        assert np.linalg.norm(made.array(key) - measured.array(key)) > 0.05 * np.linalg.norm(made.array(key))
        source: Any = made[key].options["r2prime_source"]
        assert source["method"] == made[key].options["inputs"]["r2prime"] == "r2primenet"
        assert source["network_weights"]["sha256"] == {"r2primenet": file.sha256}
        assert json.loads(json.dumps(source)) == source


@pytest.mark.parametrize(
    ("method", "options"),
    [("measured", {"negative_fraction": 0.01}), ("pseudo-r2", {"pseudo_r2_per_s": 13.0}),
     ("scaled-r2star", {"r2prime_share": 0.19}), ("given", {})],
)  # fmt: skip
@pytest.mark.parametrize("name", ["closed-form", "emmerich"])
def test_every_other_r2prime_is_named_with_its_numbers(name: str, method: str, options: dict[str, float]) -> None:
    r2prime = replace(head()["r2prime"], method=method, options=options)
    made = reconstruct(head().including(r2prime), method=name)
    assert made["chi_para"].options["r2prime_source"] == {"method": method, **options}
    assert made["r2prime"] is r2prime


def test_methods_without_r2prime_name_none() -> None:
    installed_weights.install()
    assert "r2prime_source" not in reconstruct(head(), method="tkd")["chi_total"].options
    own = reconstruct(head(), method="chi-sepnet-r2star")["chi_para"].options
    assert own["r2prime_source"] == {"method": "r2primenet"}
    assert "r2primenet" in own["network_weights"]["sha256"]


@pytest.mark.parametrize("name", ["tkd", "r2star-qsm", "qsmnet", "chi-sepnet-r2star", "cosmos"])
def test_methods_that_use_no_r2prime_are_refused(name: str) -> None:
    installed_weights.install()
    with pytest.raises(InputError, match=f"r2primenet with {name}; expected methods that use R2′: closed-form, "):
        reconstruct(head(), method=name, r2prime_source="r2primenet")


def test_refusals_come_before_the_networks_run() -> None:
    heard: list[Status] = []

    def refused(match: str, maps: MapSet, **given: Any) -> None:
        with pytest.raises(InputError, match=match):
            reconstruct(maps, method="closed-form", r2prime_source="r2primenet", progress=heard.append, **given)

    refused("chisep weights import", head())
    installed_weights.install("partial", inputs={"chisepnet": ("local_field", "r2prime")})
    refused("no r2primenet among chisepnet", head(), r2primenet={"weights": "partial"})
    installed_weights.install()
    refused("no r2star; expected r2star, brain_mask", without(head(), "r2star"))
    refused("no local_field; expected local_field, brain_mask, r2prime", without(head(), "local_field"))
    refused(r"field strength: got 7\.00 T.*r2star-qsm.*other_field_strength", head(field_strength_t=7.0))
    refused("'elsewhere'; expected one of the installed sets", head(), r2primenet={"weights": "elsewhere"})
    refused("options of r2primenet: got colour", head(), r2primenet={"colour": "red"})
    assert {status.step for status in heard} == {"check"}
    with pytest.raises(InputError, match="r2prime_source: got network; expected one of maps, r2primenet"):
        reconstruct(head(), method="closed-form", r2prime_source="network")  # type: ignore[arg-type]


def test_another_field_strength_runs_where_that_is_asked_for() -> None:
    installed_weights.install()
    made = reconstruct(head(field_strength_t=7.0), method="closed-form", r2prime_source="r2primenet",
                       r2primenet=NetworkOptions(other_field_strength=True))  # fmt: skip
    assert any("run at 7.00 T, as asked for" in one for one in made["chi_dia"].warnings)


def test_a_missing_r2prime_is_answered_with_the_network_that_makes_it() -> None:
    with pytest.raises(
        InputError, match=r"no r2prime; .*Methods that do without: tkd, .* Or set r2prime_source to r2p"
    ):
        reconstruct(without(head(), "r2prime"), method="closed-form")


def test_units_of_r2star_are_held_against_a_brain() -> None:
    installed_weights.install()
    in_ms = Map(name="r2star", data=head().array("r2star") / 1000, grid=head().grid)
    with pytest.raises(InputError, match=r"r2star: .* Is it in 1/ms"):
        reconstruct(head().including(in_ms), method="closed-form", r2prime_source="r2primenet")


def test_progress_rises_through_both_and_tells_the_time_once() -> None:
    installed_weights.install()
    heard: list[Status] = []
    reconstruct(head(), method="closed-form", r2prime_source="r2primenet", progress=heard.append)
    fractions = [one.fraction for one in heard]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    (told,) = (one for one in heard if one.step == "networks")
    assert told.detail.endswith("about 1 s")
    assert heard.index(told) < min(number for number, one in enumerate(heard) if one.step == "r2primenet")
