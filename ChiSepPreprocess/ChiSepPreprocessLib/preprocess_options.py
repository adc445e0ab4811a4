"""Options of every step, and the named sets of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from .bgremove.removal import BackgroundOptions
from .bgremove.vsharp import VSharpOptions
from .coils.bipolar import BipolarOptions
from .coils.mcpc3ds import PhaseOffsetOptions
from .denoise.mppca import DenoiseOptions
from .errors import InputError
from .fieldmap.combine import CombineOptions
from .fieldmap.field import FieldOptions
from .masking.mask import MaskOptions
from .options import check_choice
from .registration.rigid import RegistrationOptions
from .relaxometry.r2 import R2Options
from .relaxometry.r2prime import PSEUDO_R2_3T_PER_S, R2PRIME_SHARE_OF_R2STAR
from .relaxometry.r2star import R2StarOptions
from .unwrap.methods import UnwrapOptions

WithoutSpinEcho = Literal["pseudo-r2", "scaled-r2star"]


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions:
    """Options of every step; the defaults are each step's own.

    Parameters
    ----------
    denoise, mask, bipolar, offset, unwrap, field_map, background, r2star, registration, r2
        One dataclass for each step.
    correct_bipolar : bool
        Bring echoes of alternating readout polarity together; off, such data raise a warning.
    without_spin_echo : {"pseudo-r2", "scaled-r2star"}
        R2′ where there is no spin echo: R2* less a constant, or a share of R2*.
    pseudo_r2_per_s : float
        The constant, 1/s; 13 1/s is the value of the χ-separation toolbox at 3 T.
    r2prime_share : float
        The share; 0.19 is the value of the same toolbox.
    """

    denoise: DenoiseOptions = field(default_factory=DenoiseOptions)
    mask: MaskOptions = field(default_factory=MaskOptions)
    correct_bipolar: bool = False
    bipolar: BipolarOptions = field(default_factory=BipolarOptions)
    offset: PhaseOffsetOptions = field(default_factory=PhaseOffsetOptions)
    unwrap: UnwrapOptions = field(default_factory=UnwrapOptions)
    field_map: FieldOptions = field(default_factory=FieldOptions)
    background: BackgroundOptions = field(default_factory=BackgroundOptions)
    r2star: R2StarOptions = field(default_factory=R2StarOptions)
    registration: RegistrationOptions = field(default_factory=RegistrationOptions)
    r2: R2Options = field(default_factory=R2Options)
    without_spin_echo: WithoutSpinEcho = "pseudo-r2"
    pseudo_r2_per_s: float = PSEUDO_R2_3T_PER_S
    r2prime_share: float = R2PRIME_SHARE_OF_R2STAR

    def __post_init__(self) -> None:
        check_choice("R2′ without a spin echo", self.without_spin_echo, WithoutSpinEcho)
        if self.background.each_echo and self.field_map.method == "complex-fit":
            raise InputError("background.each_echo", "with the complex fit, which makes one field of all echoes",
                             "the weighted average", "Set field_map.method to weighted-average.")  # fmt: skip


#: The chain of Kim et al. (χ-sepnet, 2025): BET, V-SHARP up to 20 mm on each echo, averaging by Wu et al. (2012), ARLO.
_PAPER = PreprocessOptions(
    mask=MaskOptions(method="bet", surroundings_mm=0.0),
    field_map=FieldOptions(average=CombineOptions(weighting="wu2012"), offset_sigma_mm=0.0),
    background=BackgroundOptions(
        method="v-sharp", vsharp=VSharpOptions(maximum_radius_mm=20.0), each_echo=True, largest_residual_rad=0.0
    ),
    r2star=R2StarOptions(method="arlo"),
)

#: Named sets of options: the most accurate that was measured, and the paper's.
PRESETS: Mapping[str, PreprocessOptions] = MappingProxyType({"best": PreprocessOptions(), "chi-sepnet": _PAPER})


def preset(name: str) -> PreprocessOptions:
    """Options by the name of their set.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in PRESETS:
        raise InputError("preset", name, f"one of {', '.join(PRESETS)}")
    return PRESETS[name]
