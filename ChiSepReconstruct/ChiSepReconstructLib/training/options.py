"""Options of a training; the defaults of each network are those of its paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import check_choice

from ..networks.weights.weight_set import INPUTS, Role

QsmSource = Literal["qsmnet", "truth"]
LabelSource = Literal["truth", "measured"]
Sampling = Literal["grid", "random"]
LossForm = Literal["paper", "official"]
FieldTarget = Literal["measured", "label", "none"]
OptimiserName = Literal["rmsprop", "adamw"]
Schedule = Literal["step", "cosine", "one-cycle", "constant"]
TrainingPrecision = Literal["float32", "bfloat16"]
Storage = Literal["float16", "float32"]


def check_at_least(quantity: str, value: float | None, smallest: float, *, above: bool = False) -> None:
    """Refuse a number that is too small; ``None`` passes.

    Raises
    ------
    InputError
        If it is below ``smallest``, or not above it where that is asked for.
    """
    if value is not None and not (value > smallest if above else value >= smallest):
        raise InputError(quantity, value, f"{'more than' if above else 'at least'} {smallest:g}")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where inputs and labels come from.

    Parameters
    ----------
    truth_folder : str
        Folder of the labels inside each subject's folder.
    centred_qsm : bool
        Take the mean over the brain from the labels' QSM, which the local field does not tell.
    r2prime_label : {"truth", "measured"}
        Label of R2PRIMEnet: that of the truth folder, or the measured R2′ as in the paper.
    qsm_source : {"qsmnet", "truth"}
        χ-sepnet's QSM: what a trained QSMnet makes of the local field, as in the pipeline (the paper's figure 1) and
        in the authors' code, or the label with ``qsm_noise_ppm``.
    qsm_noise_ppm : float
        Standard deviation of white noise on the QSM of the labels, ppm.
    validation : tuple of str
        Names of the folders that are not trained on. All scans of one person belong on one side.
    validation_count : int
        How many folders, the last by name, if none are named.
    field_strength_t : float, optional
        For maps without sidecars, T.
    relaxivity_hz_per_ppm : float, optional
        Relaxometric constant of the labels; the 114 Hz/ppm at 2.893 T of Kim et al. 2025, scaled linearly to the
        field strength, if absent.
    """

    truth_folder: str = "truth"
    centred_qsm: bool = False
    r2prime_label: LabelSource = "truth"
    qsm_source: QsmSource = "qsmnet"
    qsm_noise_ppm: float = 0.0
    validation: tuple[str, ...] = ()
    validation_count: int = 1
    field_strength_t: float | None = None
    relaxivity_hz_per_ppm: float | None = None

    def __post_init__(self) -> None:
        check_choice("label of R2PRIMEnet", self.r2prime_label, LabelSource)
        check_choice("source of the QSM", self.qsm_source, QsmSource)
        check_at_least("noise of the QSM (ppm)", self.qsm_noise_ppm, 0)
        check_at_least("subjects to validate", self.validation_count, 1)
        check_at_least("field strength (T)", self.field_strength_t, 0, above=True)
        check_at_least("relaxivity (Hz/ppm)", self.relaxivity_hz_per_ppm, 0, above=True)


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    """Cubes that the network is trained on.

    Parameters
    ----------
    size_voxels : int
        Edge, a multiple of 16.
    stride_voxels : int
        Distance of neighbouring patches on the grid; 24 makes 64³ patches overlap by 40, as in the papers.
    sampling : {"grid", "random"}
        Every patch of the grid in each epoch, or ``per_epoch`` of them about random voxels of the brain, new ones in
        each epoch, which suits large simulated sets.
    per_epoch : int
        Random patches of an epoch.
    least_brain_share : float
        Patches with a smaller share of brain are left out. The papers name none.
    """

    size_voxels: int = 64
    stride_voxels: int = 24
    sampling: Sampling = "grid"
    per_epoch: int = 1200
    least_brain_share: float = 0.1

    def __post_init__(self) -> None:
        check_choice("sampling", self.sampling, Sampling)
        if self.size_voxels < 16 or self.size_voxels % 16:
            raise InputError("size of the patches", f"{self.size_voxels} voxels", "a multiple of 16")
        check_at_least("stride of the patches (voxels)", self.stride_voxels, 1)
        check_at_least("patches of an epoch", self.per_epoch, 1)
        if not 0 <= self.least_brain_share < 1:
            raise InputError("least share of brain", self.least_brain_share, "a share from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class AugmentationOptions:
    """Turned copies of each head, made once before the training, and flips.

    Parameters
    ----------
    angles_deg : tuple of float
        One copy for each; 0 is the head as it is. R2PRIMEnet and χ-sepnet: about B0, six from −90° to 90° in the
        paper, which does not list them. QSMnet: about a random axis across B0, with the field of the turned label.
    keep_field_residual : bool
        QSMnet: add what the measured field has beyond that of its label, turned along: noise and the remains of the
        background. The published procedure has the pure field of the label.
    flips : bool
        Mirror half of the patches left to right; the papers do not.
    """

    angles_deg: tuple[float, ...] = (-60.0, -30.0, 0.0, 30.0, 60.0, 90.0)
    keep_field_residual: bool = False
    flips: bool = False

    def __post_init__(self) -> None:
        if not self.angles_deg or not all(abs(angle) <= 180 for angle in self.angles_deg):
            raise InputError("angles", f"{self.angles_deg}°", "at least one, from −180 to 180°")


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Weights and forms of the terms.

    Parameters
    ----------
    form : {"paper", "official"}
        "paper": Kim et al. 2025, equations 1 to 9; differences along the axes; the terms of the model in units of
        the standard deviation of their maps, as equations 3 to 5 are said to have similar ranges. "official": as the
        authors' code; rising differences to the 26 neighbours by their distance; the terms of the model in ppm.
    l1, gradient, model : float
        Weights.
    coarse : float
        Weight of the error averaged over blocks of 4 mm, which the papers do not have.
    field_target : {"measured", "label", "none"}
        What the field of the estimate is compared with: the measured field, as published, although the sources
        outside a patch are missing in its circular field; the field that the label has in the same patch, where
        both miss the same; or nothing.
    inside_mask : bool
        Leave out what lies outside the brain, where published losses demand the mean.
    """

    form: LossForm = "paper"
    l1: float = 1.0
    gradient: float = 0.1
    model: float = 1.0
    coarse: float = 0.0
    field_target: FieldTarget = "measured"
    inside_mask: bool = False

    def __post_init__(self) -> None:
        check_choice("form of the loss", self.form, LossForm)
        check_choice("target of the field", self.field_target, FieldTarget)
        for name in ("l1", "gradient", "model", "coarse"):
            check_at_least(f"weight of the loss, {name}", getattr(self, name), 0)


@dataclass(frozen=True, kw_only=True)
class OptimiserOptions:
    """How the weights are changed.

    Parameters
    ----------
    name : {"rmsprop", "adamw"}
        RMSprop in the papers; AdamW converges faster in short trainings.
    learning_rate : float
        At the start; the largest of a one-cycle schedule.
    schedule : {"step", "cosine", "one-cycle", "constant"}
        "step" multiplies by ``decay`` after every ``decay_steps`` steps; 1 step is an exponential decay. "cosine" and
        "one-cycle" end at almost 0 with the last epoch.
    decay, decay_steps
        Of the schedule "step".
    weight_decay : float
        Of AdamW.
    largest_gradient_norm : float, optional
        Longer gradients are shortened to it; not in the papers.
    """

    name: OptimiserName = "rmsprop"
    learning_rate: float = 1e-3
    schedule: Schedule = "step"
    decay: float = 0.98
    decay_steps: int = 1000
    weight_decay: float = 0.01
    largest_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        check_choice("optimiser", self.name, OptimiserName)
        check_choice("schedule", self.schedule, Schedule)
        check_at_least("learning rate", self.learning_rate, 0, above=True)
        check_at_least("weight decay", self.weight_decay, 0)
        check_at_least("steps of the decay", self.decay_steps, 1)
        check_at_least("largest norm of the gradient", self.largest_gradient_norm, 0, above=True)
        if not 0 < self.decay <= 1:
            raise InputError("decay", self.decay, "a factor above 0, at most 1")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Everything that decides a training.

    Parameters
    ----------
    base_width : int
        Channels of the U-Net's first level; 32 in the papers.
    inputs : tuple of str
        Input maps in the order of the channels, as published if empty: fewer for χ-sepnet; ``local_field`` and
        ``chi_total_tv`` for QSMnet, which then learns what the QSM by total variation lacks; or
        ``chi_para_closed_form``, ``chi_dia_closed_form`` and ``local_field`` for χ-sepnet, which then learns what the
        closed form lacks.
    epochs, batch_size : int
        Passes, and patches of a step, over all devices.
    seed : int
        Of the first weights and of every random choice.
    precision : {"float32", "bfloat16"}
        bfloat16 by autocast, on GPUs and processors with units for it alone.
    channels_last : bool
        Order of the values in memory; the faster one on most devices.
    compile : bool
        Let PyTorch compile the network: some minutes at the start, faster on GPUs.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …; under torchrun each process takes its own GPU.
    storage : {"float16", "float32"}
        Of the normalised maps in memory; rounding by float16 is below 0.05 %.
    checkpoint_steps : int
        A checkpoint after as many steps, and after each epoch.
    tensorboard : bool
        Write scalars and example slices for TensorBoard too.
    divergence : float
        Stop where the smoothed loss exceeds so many times its lowest value.
    data, patches, augmentation, loss, optimiser
        As in their classes.
    """

    base_width: int = 32
    inputs: tuple[str, ...] = ()
    epochs: int = 50
    batch_size: int = 12
    seed: int = 0
    precision: TrainingPrecision = "float32"
    channels_last: bool = True
    compile: bool = False
    device: str = "auto"
    storage: Storage = "float16"
    checkpoint_steps: int = 500
    tensorboard: bool = False
    divergence: float = 20.0
    data: DataOptions = field(default_factory=DataOptions)
    patches: PatchOptions = field(default_factory=PatchOptions)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimiser: OptimiserOptions = field(default_factory=OptimiserOptions)

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, TrainingPrecision)
        check_choice("storage", self.storage, Storage)
        for name in ("base_width", "epochs", "batch_size", "checkpoint_steps"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("seed", self.seed, 0)
        check_at_least("divergence", self.divergence, 1, above=True)

    def inputs_of(self, role: Role) -> tuple[str, ...]:
        """Artifacts in the order of the input channels.

        Raises
        ------
        InputError
            If the network cannot have these.
        """
        inputs = self.inputs or INPUTS[role][0]
        if inputs not in INPUTS[role]:
            expected = " or ".join(",".join(names) for names in INPUTS[role])
            raise InputError(f"inputs of {role}", ",".join(inputs), expected)
        return inputs


#: As published: Kim et al. 2025, sections 2.2.1 to 2.2.3.
_PUBLISHED: Mapping[Role, TrainingOptions] = {
    "qsmnet": TrainingOptions(optimiser=OptimiserOptions(decay=0.9999, decay_steps=1)),
    "r2primenet": TrainingOptions(loss=LossOptions(model=0.0)),
    "chisepnet": TrainingOptions(epochs=60, optimiser=OptimiserOptions(learning_rate=3e-4)),
}


def published(role: Role) -> TrainingOptions:
    """Options of the published training of a network; R2PRIMEnet has no model to obey."""
    return replace(_PUBLISHED[role])
