"""Which methods can run with what is there, and in plain words what they lack."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from slicer.i18n import tr as _

from ..methods import R2PRIMENET, Method

#: Maps as people call them.
TITLES: Mapping[str, str] = MappingProxyType({
    "local_field": _("local field"), "brain_mask": _("brain mask"), "r2star": "R2*", "r2prime": "R2′", "r2": "R2",
    "magnitude": _("magnitude"), "field_mask": _("mask of the local field"), "field_sigma": _("error of the field"),
    "csf_mask": _("mask of the CSF"), "total_field": _("total field"), "gre_magnitude": _("echo images"),
})  # fmt: skip

_NETWORKS: Mapping[str, str] = MappingProxyType(
    {"qsmnet": "QSMnet_ME", "r2primenet": "R2PRIMEnet", "chisepnet": "χ-sepnet"}
)

#: Artifact that only images in their echoes have, which maps on disk are not.
_ECHOES = "gre_magnitude"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What methods can count on.

    Parameters
    ----------
    maps : collection of str, optional
        Artifacts that are there; ``None`` while that is not known.
    sets : tuple of collections of str
        Roles of the networks of each set of weights that may be used.
    orientations : int
        Of the head in the scanner.
    r2prime_source : str
        Where R2′ comes from.
    """

    maps: Collection[str] | None = None
    sets: tuple[Collection[str], ...] = ()
    orientations: int = 1
    r2prime_source: str = "maps"

    @property
    def makes_r2prime(self) -> bool:
        """Whether R2′ is made by a network."""
        return self.r2prime_source == R2PRIMENET


def lacks(method: Method, given: Given) -> tuple[str, ...]:
    """Give what a method lacks, one sentence each; none if it can run."""
    sentences = [*_lacking_maps(method, given), *_lacking_weights(method, given)]
    if given.orientations < method.orientations:
        sentences.append(_("Needs maps of at least {count} head orientations.").format(count=method.orientations))
    if method.orientations == 1 and given.orientations > 1:
        sentences.append(_("Takes one head orientation alone: remove the others."))
    if given.makes_r2prime and not method.uses_r2prime and method.name != R2PRIMENET:
        sentences.append(_("Does not use R2′: choose R2′ of the maps."))
    return tuple(sentences)


def _lacking_maps(method: Method, given: Given) -> list[str]:
    if _ECHOES in method.needs:
        return [_("Needs the echo images themselves: run it from DICOM, in the module Chi-separation.")]
    if given.maps is None:
        return []
    needed = set(method.needs)
    if given.makes_r2prime and "r2prime" in needed:
        needed = needed - {"r2prime"} | {"r2star"}
    missing = [TITLES.get(name, name) for name in (*method.needs, "r2star") if name in needed - set(given.maps)]
    if not missing:
        return []
    sentence = _("Missing: {maps}.").format(maps=", ".join(dict.fromkeys(missing)))
    has_way_out = "r2prime" in needed - set(given.maps) and "r2star" in given.maps
    return [f"{sentence} {_('R2′ can also be made of R2* by R2PRIMEnet, see below.')}" if has_way_out else sentence]


def _lacking_weights(method: Method, given: Given) -> list[str]:
    # An ablation of χ-sepnet does without QSM, and with it without QSMnet_ME.
    wanted: set[str] = {role for role in method.networks if role != "qsmnet"} or set(method.networks)
    source: set[str] = {R2PRIMENET} if given.makes_r2prime and method.uses_r2prime else set()
    for roles in (wanted, source):
        if roles and not any(roles <= set(one) for one in given.sets):
            names = ", ".join(_NETWORKS[role] for role in sorted(roles))
            return [_("No installed set has weights of {networks}.").format(networks=names)]
    return []
