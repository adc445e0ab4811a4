"""Which methods run and with which options; what the word "auto" stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ChiSepPreprocessLib.artifacts import MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.methods import R2PRIMENET, R2PrimeSource, check_r2prime_source, get

#: In place of a method's name.
AUTOMATIC = "auto"

#: Methods that "auto" stands for: with measured R2′, without, and where no weights fit.
_MEASURED, _SYNTHESISED, _WITHOUT_NETWORKS = "chi-sepnet-r2prime", "chi-sepnet-r2star", "closed-form"

#: R2′ that is a convention, not a measurement.
_CONVENTIONS = ("pseudo-r2", "scaled-r2star")

Options = Mapping[str, Mapping[str, Any]]


def chosen_methods(methods: Sequence[str], options: Options | None, r2prime_source: R2PrimeSource) -> dict[str, Any]:
    """Options of each method but "auto"; what makes R2′ comes first.

    Raises
    ------
    InputError
        If a method or option is unknown, or R2′ is to come from elsewhere for a method that uses none.
    """
    users = [name for name in methods if name not in (R2PRIMENET, AUTOMATIC)]
    check_r2prime_source(r2prime_source, users)
    named = [name for name in methods if name != AUTOMATIC]
    names = (R2PRIMENET, *users) if r2prime_source == R2PRIMENET else named
    return {name: get(name).options((options or {}).get(name)) for name in names}


def check_weights(chosen: Mapping[str, Any], scan: ScanParameters | None = None) -> None:
    """Refuse missing weights, and a field strength that they were not trained at, before anything is computed.

    Raises
    ------
    InputError
        If there are none that fit.
    """
    for name, one in chosen.items():
        get(name).check_weights(one, scan)


def has_measured_r2prime(maps: MapSet) -> bool:
    """Whether the maps hold an R2′ that is no convention."""
    return "r2prime" in maps and maps["r2prime"].method not in _CONVENTIONS


def resolved(
    methods: Sequence[str], options: Options | None, scan: ScanParameters, *, has_r2prime: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of methods with what "auto" stands for in its place.

    It is χ-sepnet-R2′ where R2′ was measured or is made by R2PRIMEnet, else χ-sepnet-R2*; where no installed weights
    fit the scan it is the closed form, which needs none.

    Parameters
    ----------
    methods : sequence of str
        Names, "auto" perhaps among them.
    options : mapping, optional
        By method, which may name weights.
    scan : ScanParameters
        Whose field strength decides.
    has_r2prime : bool
        Whether there is a measured or synthesised R2′.

    Returns
    -------
    names, warnings : tuple of str
        Each name once.
    """
    if AUTOMATIC not in methods:
        return tuple(methods), ()
    preferred, warnings = _MEASURED if has_r2prime else _SYNTHESISED, tuple[str, ...]()
    try:
        get(preferred).check_weights(get(preferred).options((options or {}).get(preferred)), scan)
    except InputError as error:
        warnings = (f"No networks: the χ maps are those of {_WITHOUT_NETWORKS}, as {preferred} cannot run. {error}",)
        preferred = _WITHOUT_NETWORKS
    return tuple(dict.fromkeys(preferred if one == AUTOMATIC else one for one in methods)), warnings
