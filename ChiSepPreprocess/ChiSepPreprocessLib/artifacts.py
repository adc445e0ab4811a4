"""The shared vocabulary: every map's name, unit, shape and sign, and the types that carry them.

Arrays are indexed (i, j, k[, echo]) and lie on a :class:`Grid`, whose 4×4 matrix takes
voxel indices to RAS millimetres, as nibabel has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .quantities import larmor_frequency_hz

Array = NDArray[Any]

_SAME_DIRECTION = 0.99985  # cosine of one degree


class Kind(Enum):
    """What the voxels of an artifact are."""

    REAL = "real"
    MASK = "mask"
    LABEL = "label"


@dataclass(frozen=True)
class ArtifactSpec:
    """One row of the artifact table in ``Resources/CONVENTIONS.md``."""

    name: str
    unit: str
    axes: str
    kind: Kind
    minimum: float | None
    meaning: str


def _spec(
    name: str, unit: str, meaning: str, *, axes: str = "ijk", kind: Kind = Kind.REAL, minimum: float | None = None
) -> ArtifactSpec:
    return ArtifactSpec(name, unit, axes, kind, minimum, meaning)


def _mask(name: str, meaning: str) -> ArtifactSpec:
    return _spec(name, "bool", meaning, kind=Kind.MASK, minimum=0.0)


_SPECS = (
    _spec("gre_magnitude", "a.u.", "multi-echo GRE magnitude", axes="ijke", minimum=0.0),
    _spec("gre_phase", "rad", "multi-echo GRE phase; grows with time where the field is above B0", axes="ijke"),
    _spec("se_magnitude", "a.u.", "spin echo or TSE magnitude, on its own grid", axes="ijke", minimum=0.0),
    _spec("flair", "a.u.", "FLAIR magnitude", minimum=0.0),
    _spec("magnitude", "a.u.", "GRE magnitude, root of the sum of squares over echoes", minimum=0.0),
    _mask("brain_mask", "brain"),
    _mask("field_mask", "where the local field is valid (eroded brain)"),
    _spec("total_field", "ppm", "field of all sources, relative to the reference frequency"),
    _spec("field_sigma", "ppm", "expected error (standard deviation) of the total field", minimum=0.0),
    _spec("phase_residual", "rad", "phase that the total field leaves unexplained, mean over echoes", minimum=0.0),
    _spec("local_field", "ppm", "field of the sources inside the brain"),
    _spec("b1", "1", "transmit field: actual over nominal flip angle", minimum=0.0),
    _spec("r2star", "1/s", "rate of the gradient-echo decay", minimum=0.0),
    _spec("r2", "1/s", "rate of the spin-echo decay", minimum=0.0),
    _spec("r2prime", "1/s", "reversible rate, r2star − r2", minimum=0.0),
    _spec("chi_total", "ppm", "QSM: sum of both sources, relative to its named reference region"),
    _spec("chi_para", "ppm", "paramagnetic susceptibility", minimum=0.0),
    _spec("chi_dia", "ppm", "magnitude of the diamagnetic susceptibility", minimum=0.0),
    _mask("csf_mask", "cerebrospinal fluid; left out of evaluation"),
    _mask("vessel_mask_para", "vessels in chi_para; left out of evaluation"),
    _mask("vessel_mask_dia", "vessels in chi_dia; left out of evaluation"),
    _spec("lesions", "label", "one positive integer for each lesion", kind=Kind.LABEL, minimum=0.0),
)

#: Every artifact by name, in the order of the user's road.
ARTIFACTS: Mapping[str, ArtifactSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels lie.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K).
    affine : array_like, shape (4, 4)
        Voxel indices to RAS, mm; orthogonal axes.

    Raises
    ------
    InputError
        If the matrix is singular, sheared or not finite.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __init__(self, shape: tuple[int, ...], affine: ArrayLike) -> None:
        matrix = np.array(affine, dtype=np.float64)
        if len(shape) != 3 or matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)):
            raise InputError("voxel grid", f"shape {shape}, matrix {matrix.shape}", "3 axes and a finite 4×4 matrix")
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if np.any(lengths <= 0):
            raise InputError("voxel size", f"{lengths} mm", "three positive lengths")
        directions = matrix[:3, :3] / lengths
        if np.abs(directions.T @ directions - np.eye(3)).max() > 2e-3:
            raise InputError("voxel axes", "axes that are not perpendicular", "a grid without shear",
                             "Resample the images to a plain grid first.")  # fmt: skip
        matrix.setflags(write=False)
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        object.__setattr__(self, "affine", matrix)

    @property
    def voxel_size_mm(self) -> tuple[float, float, float]:
        """Length of a voxel along i, j, k in mm."""
        di, dj, dk = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(di), float(dj), float(dk)

    @property
    def directions(self) -> NDArray[np.float64]:
        """Unit vectors of the i, j, k axes in RAS, as columns, shape (3, 3)."""
        return self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def b0_direction_ijk(self) -> tuple[float, float, float]:
        """Unit vector of B0 (scanner z, which is RAS S) in voxel axes."""
        bi, bj, bk = self.directions[2] / np.linalg.norm(self.directions[2])
        return float(bi), float(bj), float(bk)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of a voxel in mm³."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def matches(self, other: Grid, tolerance_mm: float = 0.01) -> bool:
        """Whether both grids have the same shape and all voxels within ``tolerance_mm``."""
        if self.shape != other.shape:
            return False
        corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        corners[:, :3] *= np.array(self.shape) - 1
        return bool(np.abs((self.affine - other.affine) @ corners.T).max() <= tolerance_mm)


@dataclass(frozen=True, kw_only=True)
class ScanParameters:
    """The physics of a gradient-echo scan; nothing here has a default but what can be derived.

    Parameters
    ----------
    echo_times_s : tuple of float
        Strictly increasing, s.
    field_strength_t : float
        Nominal B0, T.
    b0_direction_ijk : tuple of float
        Unit vector of B0 in voxel axes.
    imaging_frequency_hz : float or None
        As the header has it; fields in ppm refer to it, else to the nominal B0.

    Raises
    ------
    InputError
        If a value is missing, out of range or contradicts another.
    """

    echo_times_s: tuple[float, ...]
    field_strength_t: float
    b0_direction_ijk: tuple[float, float, float]
    imaging_frequency_hz: float | None = None

    def __post_init__(self) -> None:
        _check_echo_times(self.echo_times_s)
        if not 0.1 <= self.field_strength_t <= 25.0:
            raise InputError("field strength", f"{self.field_strength_t} T", "a value from 0.1 to 25 T")
        if abs(np.linalg.norm(self.b0_direction_ijk) - 1.0) > 1e-3:
            raise InputError("B0 direction", self.b0_direction_ijk, "a unit vector in voxel axes")
        if self.imaging_frequency_hz is not None:
            ratio = self.imaging_frequency_hz / larmor_frequency_hz(self.field_strength_t)
            if not 0.95 <= ratio <= 1.05:
                got = f"{self.imaging_frequency_hz / 1e6:.4f} MHz at {self.field_strength_t} T"
                protons_mhz = larmor_frequency_hz(self.field_strength_t) / 1e6
                raise InputError("imaging frequency", got, f"about {protons_mhz:.2f} MHz (protons)")

    @property
    def reference_frequency_hz(self) -> float:
        """Frequency to which fields in ppm refer, Hz."""
        return self.imaging_frequency_hz or larmor_frequency_hz(self.field_strength_t)

    @property
    def frequency_source(self) -> str:
        """Where :attr:`reference_frequency_hz` comes from, for the record."""
        return "imaging frequency" if self.imaging_frequency_hz else "nominal field strength"


def _check_echo_times(echo_times_s: tuple[float, ...]) -> None:
    times = np.asarray(echo_times_s, dtype=float)
    if times.size == 0 or not np.all(np.isfinite(times)) or np.any(times <= 0):
        raise InputError("echo times", f"{echo_times_s} s", "one positive time for each echo")
    if np.any(np.diff(times) <= 0):
        raise InputError("echo times", f"{echo_times_s} s", "strictly increasing times")
    if times[-1] > 1.0:
        raise InputError("echo times", f"{echo_times_s} s", "times in seconds, below 1 s",
                         "Times in milliseconds must be divided by 1000.")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Image:
    """A single volume (I, J, K) on its own grid, such as FLAIR."""

    data: Array
    grid: Grid

    def __post_init__(self) -> None:
        check_volume("image", self.data, self.grid.shape)


@dataclass(frozen=True, eq=False)
class SpinEcho:
    """Spin echo or turbo spin echo magnitude (I, J, K, echo) on its own grid."""

    magnitude: Array
    echo_times_s: tuple[float, ...]
    grid: Grid
    is_turbo: bool = False

    def __post_init__(self) -> None:
        _check_echo_times(self.echo_times_s)
        check_volume("se_magnitude", self.magnitude, (*self.grid.shape, len(self.echo_times_s)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Acquisition:
    """Everything that was measured, in the project's units.

    Parameters
    ----------
    gre_magnitude : ndarray, shape (I, J, K, E)
        a.u.
    gre_phase : ndarray, shape (I, J, K, E)
        rad, within ±π; grows with time where the field is above B0.
    grid : Grid
        Of the GRE.
    scan : ScanParameters
        Echo times, field strength, B0 direction.
    spin_echo : SpinEcho, optional
        For R2.
    flair : Image, optional
        For lesions.
    warnings : tuple of str
        What the user must confirm.
    source : mapping
        How it was read (scaling rule, series, vendor), JSON-ready, without patient data.

    Raises
    ------
    InputError
        If shapes disagree, voxels are not finite or phase is not in radians.
    """

    gre_magnitude: Array
    gre_phase: Array
    grid: Grid
    scan: ScanParameters
    spin_echo: SpinEcho | None = None
    flair: Image | None = None
    warnings: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        agreement = abs(float(np.dot(self.scan.b0_direction_ijk, self.grid.b0_direction_ijk)))
        if agreement < _SAME_DIRECTION:
            raise InputError("B0 direction", f"{np.round(self.scan.b0_direction_ijk, 3)} in voxel axes",
                             f"that of the grid, {np.round(self.grid.b0_direction_ijk, 3)}, within a degree",
                             "Correct the affine, from which directions are taken.")  # fmt: skip
        shape = (*self.grid.shape, len(self.scan.echo_times_s))
        check_volume("gre_magnitude", self.gre_magnitude, shape)
        check_volume("gre_phase", self.gre_phase, shape)
        largest = float(max(-self.gre_phase.min(), self.gre_phase.max()))
        if largest > np.pi * 1.001:
            raise InputError("gre_phase", f"values up to ±{largest:.4g}", "wrapped phase in radians, within ±π",
                             "State the phase unit, or supply wrapped phase.")  # fmt: skip


def check_volume(name: str, data: Array, shape: tuple[int, ...]) -> None:
    """Check the shape of a volume and that every voxel is finite.

    Raises
    ------
    InputError
        If it is not so.
    """
    if data.shape != shape:
        raise InputError(name, f"shape {data.shape}", f"shape {shape}")
    if np.issubdtype(data.dtype, np.inexact):
        bad = int(data.size - np.count_nonzero(np.isfinite(data)))
        if bad:
            raise InputError(name, f"{bad} voxels that are NaN or infinite", "finite values everywhere",
                             "Replace them, for example by 0 in magnitude and phase.")  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Map:
    """One artifact with its data and how it came about.

    Parameters
    ----------
    name : str
        Key of :data:`ARTIFACTS`.
    data : ndarray
        In the artifact's unit; masks as bool.
    grid : Grid
        Where the voxels lie.
    method : str
        What made it; ``"given"`` if the user brought it.
    options : mapping
        The method's options and choices, JSON-ready.
    warnings : tuple of str
        What the user should know.

    Raises
    ------
    InputError
        If the name is unknown or the data break the artifact's row in the table.
    """

    name: str
    data: Array
    grid: Grid
    method: str = "given"
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        spec = self.spec
        if spec.axes == "ijk":
            check_volume(self.name, self.data, self.grid.shape)
        else:
            check_volume(self.name, self.data, (*self.grid.shape, *self.data.shape[3:]))
        if spec.kind is Kind.MASK and self.data.dtype != np.bool_:
            raise InputError(self.name, f"dtype {self.data.dtype}", "a mask of bool")
        if spec.minimum is not None and self.data.size and self.data.min() < spec.minimum:
            raise InputError(self.name, f"a minimum of {self.data.min():.4g} {spec.unit}", f"values ≥ {spec.minimum:g}")

    @property
    def spec(self) -> ArtifactSpec:
        """The artifact's row in the table."""
        try:
            return ARTIFACTS[self.name]
        except KeyError:
            raise InputError("artifact name", self.name, f"one of {', '.join(ARTIFACTS)}") from None


@dataclass(frozen=True, eq=False)
class MapSet(Mapping[str, Map]):
    """Maps on one grid, by name, with the scan they come from."""

    grid: Grid
    scan: ScanParameters
    maps: Mapping[str, Map] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in self.maps.values():
            if not one.grid.matches(self.grid):
                apart = np.linalg.norm(one.grid.affine[:3, 3] - self.grid.affine[:3, 3])
                raise InputError(one.name, f"grid {one.grid.shape}, {np.round(one.grid.voxel_size_mm, 3)} mm",
                                 f"the GRE's grid {self.grid.shape}, {np.round(self.grid.voxel_size_mm, 3)} mm",
                                 f"First voxels lie {apart:.1f} mm apart. Resample it to the GRE first.")  # fmt: skip

    def __getitem__(self, name: str) -> Map:
        return self.maps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.maps)

    def __len__(self) -> int:
        return len(self.maps)

    def array(self, name: str) -> Array:
        """Data of one map.

        Raises
        ------
        InputError
            If the map is missing.
        """
        if name not in self.maps:
            raise InputError("maps", ", ".join(self.maps) or "none", f"'{name}' among them")
        return self.maps[name].data

    def including(self, *added: Map) -> MapSet:
        """Copy with more maps; a map of the same name is replaced."""
        return replace(self, maps={**self.maps, **{one.name: one for one in added}})
