"""The whole examination of one simulated patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ChiSepPreprocessLib.artifacts import Acquisition, Grid, Image, Map, MapSet, ScanParameters, SpinEcho
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import larmor_frequency_hz, ppm_to_hz

from .field import dipole_field_ppm, shim_residual, smooth
from .geometry import FineGrid, Matrix, Volume, for_each_slab, head_grid, rotation
from .lesions import CONTRAST_PPB, PlacedLesion, kinds_of, place_lesions
from .options import PhantomOptions
from .render import Patient, Rendering, render
from .signals import BRAIN_MEAN, Coil, flair, gradient_echo, spin_echo, with_noise
from .structures import veins
from .study import Lesion, Phantom
from .subject import make_subject
from .tissues import CHI_AIR_PPM, FIRST_LESION_LABEL, TISSUES, relaxivities_hz_per_ppm

#: R2 and FLAIR need no finer cells than this; their signal has no phase to disperse.
_RELAXATION_FINE_MM = 1.0

#: The other scans are planned afresh, so their slabs are turned a little against the GRE's, degrees.
_SE_TURN_DEG, _FLAIR_TURN_DEG = (2.0, -1.5, 1.0), (-1.0, 0.5, -1.5)


@dataclass(frozen=True, eq=False)
class _Run:
    """What every scan of one examination shares."""

    patient: Patient
    coil: Coil
    options: PhantomOptions
    rng: np.random.Generator

    def fine_grid(
        self, voxel_mm: tuple[float, float, float], turn_deg: tuple[float, float, float], fine_mm: float,
        shape: tuple[int, int, int] | None = None,
    ) -> FineGrid:  # fmt: skip
        tilt = tuple(a + b for a, b in zip(self.options.tilt_deg, turn_deg, strict=True))
        grid = head_grid(self.patient.subject.head_points_mm, voxel_mm, (tilt[0], tilt[1], tilt[2]), shape)
        return FineGrid.of(grid, fine_mm)


def simulate(options: PhantomOptions, report: Reporter | None = None) -> Phantom:
    """Simulate GRE, spin echo and FLAIR of one patient, with the truth on the GRE's grid.

    Parameters
    ----------
    options : PhantomOptions
        What to simulate; the same options give the same data.
    report : Reporter, optional
        Progress; can cancel.

    Returns
    -------
    Phantom
        Acquisition, truth and lesions.

    Raises
    ------
    InputError
        If an option cannot be simulated.
    MissingDependencyError
        If nilearn, which holds the anatomy, is not installed.
    """
    report = report or Reporter()
    report("patient", 0.0)
    anatomy, noise = (np.random.default_rng([options.seed, stream]) for stream in (1, 2))
    subject = make_subject(options, anatomy)
    lesions = place_lesions(subject, anatomy, kinds_of(options.lesion_kinds, anatomy)) if options.lesions else []
    patient = Patient(subject, veins(anatomy), lesions, options)
    run = _Run(patient, Coil.drawn(anatomy, options.b1), options, noise)
    shim = shim_residual(anatomy, options.shim_ppm)

    spin, image = _spin_echo(run, report.span(0.05, 0.2)), _flair(run, report.span(0.2, 0.25))
    fine = run.fine_grid(options.voxel_size_mm, (0.0, 0.0, 0.0), options.fine_mm, options.shape)
    seen = render(patient, fine.grid, report.span(0.25, 0.5))
    scan = _scan(options, fine.coarse)
    truth, labels = _matter_truth(seen, fine, scan, options)
    report("field", 0.5)
    truth, field_ppm = _field_truth(seen, fine, truth, shim)
    report("field", 0.7)
    field_hz = ppm_to_hz(field_ppm, scan.reference_frequency_hz)
    del field_ppm
    signal = gradient_echo(seen, fine, field_hz, _r2star(seen, options), options, report.span(0.7, 0.95))
    signal *= run.coil.receive(fine.coarse.affine, fine.coarse.shape)[..., None]
    signal = with_noise(signal, truth.array("brain_mask"), options.snr, noise)
    acquisition = Acquisition(
        gre_magnitude=np.abs(signal), gre_phase=np.angle(signal), grid=fine.coarse, scan=scan, spin_echo=spin,
        flair=image, source={"vendor": "simulated", "seed": options.seed},
    )  # fmt: skip
    report("done", 1.0)
    return Phantom(
        acquisition=acquisition, truth=truth, labels=labels, lesions=_lesion_table(lesions, seen), options=options,
        iron=subject.iron, noise_sigma=BRAIN_MEAN / options.snr,
    )  # fmt: skip


def _scan(options: PhantomOptions, grid: Grid) -> ScanParameters:
    return ScanParameters(
        echo_times_s=tuple(options.echo_times_s),
        field_strength_t=options.field_strength_t,
        b0_direction_ijk=grid.b0_direction_ijk,
        imaging_frequency_hz=larmor_frequency_hz(options.field_strength_t),
    )


def _r2prime(seen: Rendering, options: PhantomOptions) -> Volume:
    para, dia = relaxivities_hz_per_ppm(options.relaxivity, options.field_strength_t)
    return np.asarray(np.float32(para) * seen.chi_para + np.float32(dia) * seen.chi_dia)


def _r2star(seen: Rendering, options: PhantomOptions) -> Volume:
    rate = _r2prime(seen, options)
    rate += seen.r2
    return rate


def _matter_truth(
    seen: Rendering, fine: FineGrid, scan: ScanParameters, options: PhantomOptions
) -> tuple[MapSet, Volume]:
    """Truth of matter: susceptibilities, rates, masks and lesions on the GRE's grid; and the labels."""
    share = fine.mean(seen.brain)
    brain = share >= 0.5
    arrays = {name: fine.mean(getattr(seen, name)) * brain for name in ("chi_para", "chi_dia")}
    # R2 of the brain's part of a voxel alone: bone, which has hardly any signal, would raise the mean at the edge.
    arrays["r2"] = fine.mean(seen.r2 * seen.brain) / np.maximum(share, np.float32(0.5)) * brain
    arrays["chi_total"] = arrays["chi_para"] - arrays["chi_dia"]
    arrays["r2prime"] = fine.mean(_r2prime(seen, options)) * brain
    arrays["r2star"] = arrays["r2"] + arrays["r2prime"]
    labels = _coarse_labels(seen.labels, fine)
    vessel = (fine.mean(seen.labels == TISSUES["vein"].label) > 0.2) & brain
    masks = {"brain_mask": brain, "csf_mask": (fine.mean(seen.labels == TISSUES["csf"].label) > 0.5) & brain,
             "vessel_mask_para": vessel, "vessel_mask_dia": vessel}  # fmt: skip
    lesions = np.where(labels >= FIRST_LESION_LABEL, labels - (FIRST_LESION_LABEL - 1), 0).astype(np.int16)
    everything = {**arrays, **masks, "lesions": lesions}
    return MapSet(fine.coarse, scan).including(*(_truth(name, data, fine) for name, data in everything.items())), labels


def _truth(name: str, data: Volume, fine: FineGrid) -> Map:
    return Map(name=name, data=data, grid=fine.coarse, method="simulated truth")


def _coarse_labels(labels: Volume, fine: FineGrid) -> Volume:
    """Label of each voxel's middle; a lesion has the voxels that it fills to half or more."""
    middle = tuple(slice(n // 2, None, n) for n in fine.division)
    coarse = labels[middle].astype(np.int16)
    coarse[coarse >= FIRST_LESION_LABEL] = TISSUES["white_matter"].label
    for label in np.unique(labels[labels >= FIRST_LESION_LABEL]):
        coarse[fine.mean(labels == label) >= 0.5] = label
    return coarse


def _field_truth(seen: Rendering, fine: FineGrid, truth: MapSet, shim: Matrix) -> tuple[MapSet, Volume]:
    """Local field (of chi in the brain) and total field on the GRE's grid; and the total field on the fine grid."""
    cell, direction = fine.grid.voxel_size_mm, fine.grid.b0_direction_ijk
    chi = seen.chi_para - seen.chi_dia
    brain = truth.array("brain_mask")
    local = fine.mean(dipole_field_ppm(chi * seen.brain, cell, direction)) * brain
    chi[seen.air] = CHI_AIR_PPM
    field = dipole_field_ppm(chi, cell, direction)

    def add_shim(slab: slice) -> None:
        field[slab] += smooth(shim, fine.grid.affine, field[slab].shape, slab.start)

    for_each_slab(add_shim, field.shape[0], 16, "shim", Reporter())
    total = fine.mean(field)
    return truth.including(_truth("local_field", local, fine), _truth("total_field", total, fine)), field


def _motion(options: PhantomOptions) -> Matrix | None:
    if not any((*options.se_motion_mm, *options.se_motion_deg)):
        return None
    moved = np.eye(4)
    moved[:3, :3] = rotation(options.se_motion_deg)
    moved[:3, 3] = options.se_motion_mm
    return np.asarray(np.linalg.inv(moved))


def _spin_echo(run: _Run, report: Reporter) -> SpinEcho | None:
    options = run.options
    if not options.spin_echo:
        return None
    fine = run.fine_grid(options.se_voxel_size_mm, _SE_TURN_DEG, max(_RELAXATION_FINE_MM, options.fine_mm))
    seen = render(run.patient, fine.grid, report.span(0.0, 0.4), _motion(options))
    signal = spin_echo(seen, fine, run.coil, options, report.span(0.4, 1.0))
    signal *= np.abs(run.coil.receive(fine.coarse.affine, fine.coarse.shape))[..., None]
    noisy = with_noise(signal, fine.mean(seen.brain) >= 0.5, options.snr, run.rng)
    return SpinEcho(noisy, tuple(options.se_echo_times_s), fine.coarse)


def _flair(run: _Run, report: Reporter) -> Image | None:
    options = run.options
    if not options.flair:
        return None
    fine = run.fine_grid(options.flair_voxel_size_mm, _FLAIR_TURN_DEG, max(_RELAXATION_FINE_MM, options.fine_mm))
    seen = render(run.patient, fine.grid, report, _motion(options))
    signal = flair(seen, fine) * np.abs(run.coil.receive(fine.coarse.affine, fine.coarse.shape))
    noisy = with_noise(signal, fine.mean(seen.brain) >= 0.5, options.snr, run.rng)
    return Image(noisy, fine.coarse)


def _lesion_table(lesions: list[PlacedLesion], seen: Rendering) -> tuple[Lesion, ...]:
    """Lesions with the volume that they really have on the fine grid."""
    counts = np.bincount(seen.labels.ravel(), minlength=256)
    cell = seen.grid.voxel_volume_mm3
    return tuple(
        Lesion(
            number=n + 1, para=one.kind.para, dia=one.kind.dia, rim=one.kind.rim,
            para_contrast_ppb=CONTRAST_PPB[one.kind.para], dia_contrast_ppb=CONTRAST_PPB[one.kind.dia],
            volume_mm3=float(counts[FIRST_LESION_LABEL + n] * cell), centre_mm=tuple(float(c) for c in one.centre_mm),
        )
        for n, one in enumerate(lesions)
    )  # fmt: skip
