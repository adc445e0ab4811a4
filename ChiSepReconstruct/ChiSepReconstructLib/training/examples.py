"""Heads as a network sees them: normalised, turned copies included, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..networks.normalisation import Normalisation
from ..networks.weights.weight_set import CLOSED_FORM, OUTPUTS, START, Role, closed_form, needs_qsm
from ..physics.relaxivity import relaxivity
from .augmentation import Head, is_turn, tilted_in_b0, turned_about_b0
from .data import MEASURED, Subject, find_subjects, labels_of, read_subjects, validation_names
from .options import TrainingOptions

Volume = NDArray[np.float32]

#: Makes the QSM that a network takes of a head's name, local field (ppm) and mask.
QsmMaker = Callable[[str, Volume, NDArray[np.bool_]], Volume]

#: Field strengths of one training may differ by so much: "3 T" is 2.89 T on some scanners.
_SAME_FIELD_STRENGTH = 0.05

#: Maps that are divided by the relaxometric constant.
RATES = ("r2star", "r2prime")


@dataclass(frozen=True, eq=False)
class Example:
    """One head, or a turned copy of it.

    Parameters
    ----------
    name : str
        Of the subject.
    images : ndarray of float16 or float32, shape (C, I, J, K)
        Normalised inputs, then labels; 0 outside the mask.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    """

    name: str
    images: NDArray[Any]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Constants:
    """What belongs to the weights of a training beside the numbers.

    Parameters
    ----------
    normalisation : mapping of artifact to Normalisation
        In ppm, relaxation (1/s) divided by ``relaxivity_hz_per_ppm``.
    relaxivity_hz_per_ppm, field_strength_t : float
        Of the labels and the data.
    """

    normalisation: Mapping[str, Normalisation]
    relaxivity_hz_per_ppm: float
    field_strength_t: float

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Constants:
        """Read what :meth:`to_json` gave."""
        scales = {name: Normalisation(**one) for name, one in content["normalisation"].items()}
        return cls(normalisation=scales, relaxivity_hz_per_ppm=float(content["relaxivity_hz_per_ppm"]),
                   field_strength_t=float(content["field_strength_t"]))  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingSet:
    """Everything that a training learns from.

    Parameters
    ----------
    role : str
        Network to train.
    inputs, outputs : tuple of str
        Artifacts in the order of the channels.
    training, validation : tuple of Example
        Turned copies are in the first alone.
    constants : Constants
        Of the training heads.
    """

    role: Role
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    training: tuple[Example, ...]
    validation: tuple[Example, ...]
    constants: Constants

    def scales(self, names: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Means and standard deviations of artifacts."""
        found = [self.constants.normalisation[name] for name in names]
        return (np.array([one.mean for one in found], np.float32), np.array([one.std for one in found], np.float32))


def load(
    folder: Path, role: Role, options: TrainingOptions, report: Reporter, *, make_qsm: QsmMaker | None = None,
    normalisation: Mapping[str, Normalisation] | None = None,
) -> TrainingSet:  # fmt: skip
    """Read, check, normalise and turn everything.

    Parameters
    ----------
    folder : Path
        See :mod:`.data`.
    role : str
        Network to train.
    options : TrainingOptions
    report : Reporter
    make_qsm : callable, optional
        Gives the QSM that QSMnet starts from, or χ-sepnet's where ``options.data.qsm_source`` is "qsmnet".
    normalisation : mapping of artifact to Normalisation, optional
        Of an earlier training, for networks that shall work together although their data differ; computed if absent.

    Raises
    ------
    InputError
        If anything is wrong with the data.
    """
    data = options.data
    names = find_subjects(folder, role, data)
    held_out = validation_names(names, data)
    read = read_subjects(folder, names, role, data, report.span(0, 0.5))
    subjects = [_centred(one) if data.centred_qsm else one for one in read]
    constants = _constants([one for one in subjects if one.name not in held_out], role, options, normalisation or {})
    make = _Maker(role, options, constants, make_qsm)
    found: dict[bool, list[Example]] = {True: [], False: []}
    for number in range(len(subjects)):
        one = subjects.pop(0)  # its memory is needed for the next ones
        report.span(0.5, 1)("prepare", number / len(names), one.name)
        found[one.name in held_out] += make(one, number, turn=one.name not in held_out)
    return TrainingSet(role=role, inputs=options.inputs_of(role), outputs=OUTPUTS[role],
                       training=tuple(found[False]), validation=tuple(found[True]), constants=constants)  # fmt: skip


def _constants(
    subjects: Sequence[Subject], role: Role, options: TrainingOptions, given: Mapping[str, Normalisation]
) -> Constants:
    """Mean and standard deviation in the brains that are trained on (Kim et al. 2025, section 2.2.1)."""
    field_t = _field_strength(subjects, options.data.field_strength_t)
    hz_per_ppm = options.data.relaxivity_hz_per_ppm or relaxivity("kim2025", field_t).para_hz_per_ppm
    scales: dict[str, Normalisation] = {}
    for source, names in (("truth", labels_of(role)), ("measured", MEASURED[role])):  # the measured R2′ decides
        for name in names:
            if found := [getattr(one, source)[name] for one in subjects if name in getattr(one, source)]:
                scales[name] = given.get(name) or _scale(found, 1 / hz_per_ppm if name in RATES else 1.0)
    if START in options.inputs_of(role):  # its mean is 0, and it is added to the label's estimate
        scales[START] = Normalisation(mean=0.0, std=scales["chi_total"].std)
    if CLOSED_FORM[0] in options.inputs_of(role):  # they are added to the estimates of the labels
        scales |= {name: scales[label] for name, label in zip(CLOSED_FORM, OUTPUTS["chisepnet"], strict=True)}
    return Constants(normalisation=scales, relaxivity_hz_per_ppm=hz_per_ppm, field_strength_t=field_t)


def _centred(subject: Subject) -> Subject:
    """The subject, whose QSM has the mean 0."""
    if "chi_total" not in subject.truth:
        return subject
    chi_ppm = subject.truth["chi_total"]
    centred = (chi_ppm - chi_ppm.mean(dtype=np.float64)).astype(np.float32)
    return replace(subject, truth={**subject.truth, "chi_total": centred})


def _scale(values: Sequence[NDArray[np.float32]], factor: float) -> Normalisation:
    count = sum(one.size for one in values)
    mean = sum(float(one.sum(dtype=np.float64)) for one in values) / count
    variance = sum(float(np.square(one - np.float32(mean)).sum(dtype=np.float64)) for one in values) / count
    return Normalisation(mean=mean * factor, std=float(np.sqrt(variance)) * factor)


def _field_strength(subjects: Sequence[Subject], given_t: float | None) -> float:
    told = [one.field_strength_t for one in subjects if one.field_strength_t is not None]
    if not told and given_t is None:
        raise InputError("field strength", "no sidecar with field_strength_t", "that of the training data in T",
                         'Set it in the options: {"data": {"field_strength_t": 3.0}}.')  # fmt: skip
    chosen = float(given_t if given_t is not None else np.median(told))
    for one in subjects:
        if one.field_strength_t is not None and abs(one.field_strength_t / chosen - 1) > _SAME_FIELD_STRENGTH:
            raise InputError(f"field strength of {one.name}", f"{one.field_strength_t:.2f} T",
                             f"{chosen:.2f} T, as of the others", "Train on one field strength.")  # fmt: skip
    return chosen


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes the examples of a head."""

    role: Role
    options: TrainingOptions
    constants: Constants
    make_qsm: QsmMaker | None

    def __call__(self, subject: Subject, number: int, *, turn: bool) -> list[Example]:
        """Examples of a subject; only those to train on are turned."""
        head = self._head(subject, number)
        angles = self.options.augmentation.angles_deg if turn else (0.0,)
        azimuths = np.random.default_rng((self.options.seed, number)).uniform(0, 360, len(angles))
        turned = (self._turned(head, angle, azimuth) for angle, azimuth in zip(angles, azimuths, strict=True))
        return [
            self._example(subject.name, self._with_start(one, f"{subject.name}-{n}")) for n, one in enumerate(turned)
        ]

    def _head(self, subject: Subject, number: int) -> Head:
        """Inputs and labels of the network as volumes in ppm."""
        names, labels = self.options.inputs_of(self.role), OUTPUTS[self.role]
        values = {name: subject.measured.get(name) for name in names} | {name: subject.truth[name] for name in labels}
        maps = {name: self._volume(subject, name, one) for name, one in values.items() if one is not None}
        head = Head(subject.grid, subject.mask, maps)
        if needs_qsm(names):
            qsm = self._qsm(subject, number)
            made = {"chi_total": qsm, **closed_form(qsm, self._volume(subject, "r2prime", subject.measured["r2prime"]))}
            maps.update({name: made[name] for name in names if name in made})
        return head

    def _volume(self, subject: Subject, name: str, values: NDArray[np.float32]) -> Volume:
        volume = np.zeros(subject.mask.shape, np.float32)
        volume[subject.mask] = values / np.float32(self.constants.relaxivity_hz_per_ppm if name in RATES else 1)
        return volume

    def _qsm(self, subject: Subject, number: int) -> Volume:
        """χ-sepnet's QSM."""
        if self.make_qsm is not None:
            return self.make_qsm(subject.name, self._volume(subject, "local_field", subject.measured["local_field"]),
                                 subject.mask)  # fmt: skip
        noise = np.random.default_rng((self.options.seed, number, 1)).standard_normal(subject.truth["chi_total"].size)
        noisy = subject.truth["chi_total"] + self.options.data.qsm_noise_ppm * noise
        return self._volume(subject, "chi_total", noisy.astype(np.float32))

    def _with_start(self, head: Head, name: str) -> Head:
        """The head with the QSM that QSMnet starts from."""
        if START not in self.options.inputs_of(self.role):
            return head
        assert self.make_qsm is not None
        start = self.make_qsm(name, head.maps["local_field"], head.mask)
        return replace(head, maps={**head.maps, START: start})

    def _turned(self, head: Head, angle_deg: float, azimuth_deg: float) -> Head:
        if not is_turn(angle_deg):
            return head
        if self.role == "qsmnet":
            return tilted_in_b0(head, angle_deg, azimuth_deg,
                                keep_residual=self.options.augmentation.keep_field_residual)  # fmt: skip
        return turned_about_b0(head, angle_deg)

    def _example(self, name: str, head: Head) -> Example:
        """Normalise; at least one patch must fit."""
        names = (*self.options.inputs_of(self.role), *OUTPUTS[self.role])
        dtype = np.dtype(self.options.storage)
        shape = tuple(max(n, self.options.patches.size_voxels) for n in head.mask.shape)
        images, mask = np.zeros((len(names), *shape), dtype), np.zeros(shape, np.bool_)
        i, j, k = head.mask.shape
        mask[:i, :j, :k] = head.mask
        for image, artifact in zip(images, names, strict=True):
            image[:i, :j, :k] = self.constants.normalisation[artifact].normalise(head.maps[artifact], head.mask)
        return Example(name, images, mask)
