"""What tissues are made of, at 3 T: one table, each row with its sources.

Susceptibilities are medians over people; ``spread`` is how much the subjects of a training set differ from them, wider
than people do, so that networks hold on those who differ. R1 and proton density only weight the signal.

Sources
-------
atlas
    Min K, Sohn B, Kim WJ, et al. "A human brain atlas of χ-separation for normative iron and myelin distributions".
    NMR Biomed 37:e5226 (2024); regional means of 106 people at 3 T, 62 years on average.
challenge
    Marques JP, Meineke J, Milovic C, et al. "QSM reconstruction challenge 2.0: a realistic in silico head phantom".
    Magn Reson Med 86:526 (2021); susceptibility, and R2* from which R2 follows.
stanisz
    Stanisz GJ, Odrobina EE, Pun J, et al. "T1, T2 relaxation and magnetization transfer in tissue at 3T".
    Magn Reson Med 54:507 (2005).
zhao
    Zhao JM, Clingman CS, Närväinen MJ, et al. "Oxygenation and hematocrit dependence of transverse relaxation rates of
    blood at 3T". Magn Reson Med 58:592 (2007).
hallgren
    Hallgren B, Sourander P. "The effect of age on the non-haemin iron in the human brain". J Neurochem 3:41 (1958).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

#: Mean age of the atlas, to which the table's iron refers, years.
ATLAS_AGE_YEARS: Final = 62.0


@dataclass(frozen=True)
class Tissue:
    """One row of the table.

    Parameters
    ----------
    para_ppb, dia_ppb : float
        Para- and diamagnetic susceptibility, ppb, both ≥ 0.
    r2_per_s, r1_per_s : float
        Irreversible rates at 3 T, 1/s.
    proton_density : float
        Of water's.
    para_spread, dia_spread : float
        Relative standard deviation between subjects.
    source : str
        Of susceptibility, then of R2; see the head of this file.
    """

    para_ppb: float
    dia_ppb: float
    r2_per_s: float
    r1_per_s: float
    proton_density: float
    para_spread: float
    dia_spread: float
    source: str


@dataclass(frozen=True)
class Ellipsoid:
    """Place of a structure in the template.

    Parameters
    ----------
    centre_mm : tuple of float
        MNI (right, anterior, superior) of the right one, mm.
    radii_mm : tuple of float
        Half axes, mm.
    turn_deg : float
        About the anterior axis: a positive turn lifts the outer end.
    is_paired : bool
        Whether the left side has one too.
    """

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    turn_deg: float = 0.0
    is_paired: bool = True


#: By name: what a structure is made of, and the parts that it consists of.
Structures = dict[str, tuple[Tissue, tuple[Ellipsoid, ...]]]

#: Tissues that fill the brain.
BULK: Final = {
    "cortex": Tissue(34.2, 19.5, 10.1, 0.55, 0.82, 0.25, 0.2, "challenge; stanisz (T2 99 ms)"),
    "white_matter": Tissue(16.8, 28.8, 14.5, 0.92, 0.70, 0.25, 0.2, "atlas (WM); stanisz (T2 69 ms)"),
    "csf": Tissue(1.0, 1.0, 1.5, 0.25, 1.0, 0.8, 0.8, "zero by reference; challenge (T2 1.6 s, lowered by flow)"),
}

#: Deep grey matter.
NUCLEI: Final[Structures] = {
    "caudate": (
        Tissue(47.7, 8.2, 11.3, 0.72, 0.80, 0.3, 0.4, "atlas (CN); challenge (T2 88 ms)"),
        (Ellipsoid((12, 13, 8), (4.5, 10, 8), -15), Ellipsoid((17, -4, 19), (3, 12, 3.5), -10)),
    ),
    "putamen": (
        Tissue(77.1, 10.3, 12.9, 0.75, 0.80, 0.3, 0.4, "atlas (Put); challenge (T2 78 ms)"),
        (Ellipsoid((26, 3, 0), (4.5, 13, 8), 15),),
    ),
    "pallidum": (
        Tissue(131.9, 12.6, 15.7, 0.92, 0.76, 0.25, 0.4, "atlas (GP); challenge (T2 64 ms)"),
        (Ellipsoid((19.5, -4, -1), (3.6, 8, 5.5), 30),),
    ),
    "accumbens": (
        Tissue(45.4, 23.4, 11.3, 0.72, 0.80, 0.3, 0.3, "atlas (NAcc); challenge (T2 of the caudate)"),
        (Ellipsoid((10, 12, -7), (4, 4.5, 3.5)),),
    ),
    "thalamus": (
        Tissue(22.9, 20.8, 11.5, 0.80, 0.78, 0.3, 0.3, "atlas (Thal); challenge (T2 87 ms)"),
        (Ellipsoid((11, -17, 7), (7.5, 12, 8), 10),),
    ),
    "pulvinar": (
        Tissue(52.1, 4.4, 11.5, 0.80, 0.78, 0.3, 0.5, "atlas (Pulvinar); challenge (T2 of the thalamus)"),
        (Ellipsoid((14, -28, 6), (6, 4.5, 5)),),
    ),
    "red_nucleus": (
        Tissue(112.0, 10.1, 14.7, 0.85, 0.76, 0.25, 0.4, "atlas (RN); challenge (T2 68 ms)"),
        (Ellipsoid((5, -21, -8), (2.8, 3.2, 3.6)),),
    ),
    "substantia_nigra": (
        Tissue(115.7, 11.1, 13.8, 0.85, 0.76, 0.25, 0.4, "atlas (SN); challenge (T2 73 ms)"),
        (Ellipsoid((9.5, -18, -12), (5.5, 5.5, 1.9), 35),),
    ),
    "subthalamic_nucleus": (
        Tissue(112.1, 15.3, 13.8, 0.85, 0.76, 0.25, 0.4, "atlas (STN); challenge (T2 of the nigra)"),
        (Ellipsoid((11, -14, -7), (4, 3, 1.7), 30),),
    ),
    "dentate": (
        Tissue(142.6, 16.3, 11.0, 0.80, 0.78, 0.25, 0.4, "challenge (DN, iron lowered by a tenth); challenge"),
        (Ellipsoid((15, -57, -34), (6, 8, 3.5), 25),),
    ),
}  # fmt: skip

#: Tracts, which colour the white matter in them.
TRACTS: Final[Structures] = {
    "splenium": (
        Tissue(16.5, 42.3, 14.5, 0.92, 0.70, 0.25, 0.2, "atlas (SCC); stanisz"),
        (Ellipsoid((0, -37, 12), (18, 6, 7), 0, False),),
    ),
    "genu": (
        Tissue(17.8, 30.8, 15.0, 0.95, 0.70, 0.25, 0.2, "atlas (GCC); stanisz"),
        (Ellipsoid((0, 27, 6), (15, 6, 8), 0, False),),
    ),
    "callosal_body": (
        Tissue(14.8, 35.1, 14.5, 0.92, 0.70, 0.25, 0.2, "atlas (BCC); stanisz"),
        (Ellipsoid((0, -5, 26), (16, 22, 5), 0, False),),
    ),
    "posterior_capsule": (
        Tissue(8.2, 52.2, 13.5, 0.90, 0.72, 0.3, 0.2, "atlas (PLIC); stanisz"),
        (Ellipsoid((23, -14, 9), (4, 11, 12), 20),),
    ),
    "anterior_capsule": (
        Tissue(14.5, 41.3, 14.5, 0.92, 0.70, 0.25, 0.2, "atlas (ALIC); stanisz"),
        (Ellipsoid((19, 9, 7), (4, 9, 9), 20),),
    ),
    "peduncle": (
        Tissue(23.5, 43.7, 14.5, 0.92, 0.70, 0.25, 0.2, "atlas (CP); stanisz"),
        (Ellipsoid((15, -15, -13), (4.5, 6, 6), 20),),
    ),
    "optic_radiation": (
        Tissue(12.9, 41.1, 13.0, 0.88, 0.70, 0.3, 0.2, "atlas (PTR); stanisz"),
        (Ellipsoid((31, -55, 7), (4, 24, 7)),),
    ),
    "superior_longitudinal": (
        Tissue(22.6, 32.7, 14.5, 0.92, 0.70, 0.25, 0.2, "atlas (SLF); stanisz"),
        (Ellipsoid((36, -20, 28), (5, 25, 6)),),
    ),
    "corona_radiata": (
        Tissue(14.0, 31.8, 14.0, 0.92, 0.70, 0.25, 0.2, "atlas (ACR, SCR, PCR); stanisz"),
        (Ellipsoid((25, -10, 28), (7, 30, 10)),),
    ),
}

#: Venous blood, between arterial and fully deoxygenated; its R2 grows with deoxygenation as its susceptibility does.
BLOOD: Final = Tissue(
    280.0, 5.0, 24.0, 0.62, 0.90, 0.35, 0.8, "challenge (190 ppb) and oxygenations down to 55 %; zhao"
)

#: Rates at which iron approaches its final amount, 1/year; iron(age) ∝ 1 − exp(−rate·age) + start/final (hallgren).
_IRON_GROWTH: Final = {
    "pallidum": (0.09, 0.37 / 21.41),
    "putamen": (0.04, 0.46 / 14.62),
    "caudate": (0.05, 0.33 / 9.66),
}
_OTHER_GROWTH: Final = _IRON_GROWTH["caudate"]


def iron_at_age(name: str, age_years: float) -> float:
    """Iron of a nucleus relative to that at the atlas's age (Hallgren & Sourander 1958; others as the caudate)."""
    rate, start = _IRON_GROWTH.get(name, _OTHER_GROWTH)

    def amount(age: float) -> float:
        return 1 - float(np.exp(-rate * age)) + start

    return amount(age_years) / amount(ATLAS_AGE_YEARS)
