"""What a simulated examination is asked to be."""

from __future__ import annotations

from dataclasses import dataclass

from ChiSepPreprocessLib.errors import InputError

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class PhantomOptions:
    """Options of :func:`ChiSepPhantoms.simulate`; the defaults are the paper's protocol on one subject.

    Parameters
    ----------
    seed : int
        Chooses the subject (shape, iron, lesions, veins), the noise and the UIDs.
    voxel_size_mm : tuple of float
        Voxel of the GRE, mm.
    shape : tuple of int or None
        Matrix of the GRE; ``None`` covers the head. What lies outside the matrix makes no field inside it.
    fine_mm : float
        Each GRE voxel is subdivided into cells of at most this length, mm.
    echo_times_s : tuple of float
        Of the GRE, s.
    repetition_time_s, flip_angle_deg : float
        Of the GRE, s and degrees.
    field_strength_t : float
        B0, T.
    tilt_deg : tuple of float
        Rotation of the slab about the scanner's R, A and S axes, in that order; makes B0 oblique in voxel axes.
    snr : float
        Mean magnitude of the brain in the first echo over the standard deviation of the noise in each of the two
        channels; the same for GRE, spin echo and FLAIR.
    relaxivity : {"single", "split"}
        See :func:`ChiSepPhantoms.tissues.relaxivities_hz_per_ppm`.
    spin_echo, flair : bool
        Whether they are acquired.
    se_echo_times_s : tuple of float
        Of the spin echo, s; multiples of the first.
    se_voxel_size_mm, flair_voxel_size_mm : tuple of float
        mm.
    se_motion_mm, se_motion_deg : tuple of float
        Movement of the head (R, A, S) between GRE and the other scans, which no header knows.
    refocusing_deg : float
        Nominal refocusing angle of the spin echo, degrees.
    lesions, air, scalp, b1 : bool
        Whether there are lesions, air-filled sinuses, skull and scalp, and an inhomogeneous transmit field.
    lesion_kinds : {"typical", "every class"}
        Eleven kinds that patients have, or thirty: each grade in one map with each in the other, and iron rims.
    shim_ppm : float
        Size of the field's smooth remainder after shimming, ppm.

    Raises
    ------
    InputError
        If a value cannot be simulated.
    """

    seed: int = 0
    voxel_size_mm: Triple = (1.0, 1.0, 1.0)
    shape: tuple[int, int, int] | None = None
    fine_mm: float = 0.5
    echo_times_s: tuple[float, ...] = (0.0077, 0.01273, 0.01776, 0.02279, 0.02782, 0.03285)
    repetition_time_s: float = 0.038
    flip_angle_deg: float = 15.0
    field_strength_t: float = 3.0
    tilt_deg: Triple = (0.0, 0.0, 0.0)
    snr: float = 70.0
    relaxivity: str = "single"
    spin_echo: bool = True
    flair: bool = True
    se_echo_times_s: tuple[float, ...] = (0.015, 0.030, 0.045, 0.060, 0.075, 0.090)
    se_voxel_size_mm: Triple = (1.0, 1.0, 2.0)
    flair_voxel_size_mm: Triple = (1.0, 1.0, 1.0)
    se_motion_mm: Triple = (0.0, 0.0, 0.0)
    se_motion_deg: Triple = (0.0, 0.0, 0.0)
    refocusing_deg: float = 180.0
    lesions: bool = True
    air: bool = True
    scalp: bool = True
    b1: bool = True
    lesion_kinds: str = "typical"
    shim_ppm: float = 0.1

    def __post_init__(self) -> None:
        if self.relaxivity not in ("single", "split"):
            raise InputError("relaxivity", repr(self.relaxivity), "'single' or 'split'")
        if self.lesion_kinds not in ("typical", "every class"):
            raise InputError("kinds of lesions", repr(self.lesion_kinds), "'typical' or 'every class'")
        for name in ("snr", "fine_mm", "repetition_time_s", "flip_angle_deg", "refocusing_deg"):
            if not getattr(self, name) > 0:
                raise InputError(name, getattr(self, name), "a positive number")
        for name in ("voxel_size_mm", "se_voxel_size_mm", "flair_voxel_size_mm"):
            if min(getattr(self, name)) <= 0:
                raise InputError(name, getattr(self, name), "three positive lengths in mm")
        first = self.se_echo_times_s[0]
        if any(abs(time - (n + 1) * first) > 1e-6 for n, time in enumerate(self.se_echo_times_s)):
            raise InputError("spin echo times", f"{self.se_echo_times_s} s", "multiples of the first: 1, 2, 3, …")
