"""The training itself: steps, validation, checkpoints, and going on exactly where it stopped.

Every random choice follows from the seed and the number of the epoch, and the learning rate from the number of the
step, so a checkpoint needs no more than the weights, the optimiser's state and where the training stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter

from ..networks.devices import choose, has_bfloat16_units
from ..networks.weights.weight_set import START, Role, added_inputs, needs_qsm
from .checkpoints import (
    TABLE,
    check_same_data,
    check_start,
    data_record,
    restore,
    save,
    save_best,
    settings,
    write_record,
)
from .examples import Constants, TrainingSet, load
from .losses import TrainingLoss
from .metrics import ErrorSums
from .optimisation import learning_rate, make_optimiser
from .options import TrainingOptions, published
from .parallel import Ranks, ranks
from .patches import Batch, Sampler, cut, grid_patches, in_order
from .scalars import Board, write_table

if TYPE_CHECKING:
    from torch import Tensor

    from ..networks.unet import UNet
    from .qsm_input import KeptQsm

#: Weight of a new loss in the smoothed one.
_NEW = 0.02

_LOWER = "Lower the learning rate, or set optimiser.largest_gradient_norm; the best weights so far are kept."


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a training came to.

    Parameters
    ----------
    folder : Path
        With ``best.safetensors``, ``last.ckpt``, ``training.json`` and ``log.csv``.
    epochs, best_epoch : int
        Done, and the one with the lowest NRMSE.
    best_nrmse_percent : float
        In validation, mean over the outputs.
    rows : tuple of mapping
        The table, one row for each epoch.
    """

    folder: Path
    epochs: int
    best_epoch: int
    best_nrmse_percent: float
    rows: tuple[Mapping[str, float], ...]


def train(
    role: Role, data: Path, output: Path, options: TrainingOptions | None = None, *, resume: bool = False,
    qsmnet: Path | None = None, constants: Constants | None = None, report: Reporter | None = None,
) -> Outcome:  # fmt: skip
    """Train a network, or go on with an interrupted training.

    Parameters
    ----------
    role : {"qsmnet", "r2primenet", "chisepnet"}
        Which.
    data : Path
        Folder of heads, see :mod:`.data`.
    output : Path
        Folder for weights, checkpoints and table.
    options : TrainingOptions, optional
        As published if absent.
    resume : bool
        Go on with the training in ``output``, which must have had the same options and data.
    qsmnet : Path, optional
        Folder of QSMnet's training, for χ-sepnet with ``options.data.qsm_source`` "qsmnet".
    constants : Constants, optional
        Normalisation of an earlier training, for networks that shall work together although their data differ.
    report : Reporter, optional
        Hears of every step, with the time left; when it cancels, a checkpoint is written first.

    Raises
    ------
    InputError
        If data or options are wrong or differ from those of the training to resume, or the loss diverges; the best
        weights so far are kept.
    OutputError
        If nothing can be written; the last good checkpoint is kept.
    MissingDependencyError
        If TensorBoard is wanted and not installed.
    """
    options, report = options or published(role), report or Reporter()
    # In large pages, on Linux: touching new memory else takes as long as working on it.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _check_choices(role, options, qsmnet)
    wanted = settings(role, options)
    with ranks(options.device) as here:
        _check_batch(options, here.count)
        _check_precision(options, here.device)
        goes_on = check_start(output, wanted, resume=resume)
        here.wait()  # before the leading process writes the record
        maker = _qsm_maker(role, options, qsmnet, output / ("qsm" if here.leads else f"qsm-{here.rank}"))
        scales = constants.normalisation if constants else None
        with _own_threads():
            found = load(data, role, options, report.span(0, 0.02), make_qsm=maker, normalisation=scales)
        record = data_record(found, maker.record if maker else None)
        if goes_on:
            check_same_data(output, record)
        if here.leads:
            write_record(output, wanted, record)
        return Trainer(found, options, output, here).run(report.span(0.02, 1))


def _qsm_maker(role: Role, options: TrainingOptions, qsmnet: Path | None, cache: Path) -> KeptQsm | None:
    """What makes the QSM that the network takes, if it takes one that must be made."""
    from .qsm_input import qsm_by_network, qsm_by_total_variation

    if START in options.inputs_of(role):
        return qsm_by_total_variation(cache)
    return qsm_by_network(qsmnet, cache, options.device) if qsmnet is not None else None


@contextmanager
def _own_threads() -> Iterator[None]:
    """Keep the user's number of threads, which other steps set to that of the cores."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_choices(role: Role, options: TrainingOptions, qsmnet: Path | None) -> None:
    needs = needs_qsm(options.inputs_of(role)) and options.data.qsm_source == "qsmnet"
    if needs and qsmnet is None:
        raise InputError("χ-sepnet's QSM", "no trained QSMnet", "the folder of its training with --qsmnet",
                         'Or train with the labels\' QSM: {"data": {"qsm_source": "truth"}}.')  # fmt: skip
    if not needs and qsmnet is not None:
        raise InputError("--qsmnet", str(qsmnet), "nothing, as this training takes no QSM of a network")


class Trainer:
    """A training in memory.

    Parameters
    ----------
    data : TrainingSet
        Examples.
    options : TrainingOptions
    folder : Path
        Where checkpoints go; one in it is continued.
    here : Ranks
        This process among those of the training.
    """

    def __init__(self, data: TrainingSet, options: TrainingOptions, folder: Path, here: Ranks) -> None:
        self.data, self.options, self.folder, self.here = data, options, folder, here
        self.size = options.patches.size_voxels
        self.network = _new_network(data, options).to(here.device)
        self.optimiser = make_optimiser(self.network.parameters(), options.optimiser)
        self.progress = restore(folder, self.network, self.optimiser, here.device)
        self._model = here.wrapped(_compiled(self.network, options))
        self._loss = TrainingLoss(data, options.loss, self.size)
        self.sampler = Sampler(data.training, options.patches, flips=options.augmentation.flips,
                               batch_size=options.batch_size, seed=options.seed)  # fmt: skip
        self.steps = options.epochs * self.sampler.steps
        self._started, self._steps_before = perf_counter(), self._steps_done

    @property
    def _steps_done(self) -> int:
        return self.progress.epoch * self.sampler.steps + self.progress.step

    def run(self, report: Reporter) -> Outcome:
        """Train until the last epoch."""
        enabled = self.options.tensorboard and self.here.leads
        board = Board(self.folder / "tensorboard", enabled=enabled, first_epoch=self.progress.epoch + 1)
        try:
            while self.progress.epoch < self.options.epochs:
                self._epoch(report)
                self._finish_epoch(board)
        finally:
            board.close()
        report("train", 1.0)
        done = self.progress
        return Outcome(folder=self.folder, epochs=done.epoch, best_epoch=done.best_epoch,
                       best_nrmse_percent=done.best_nrmse, rows=tuple(done.rows))  # fmt: skip

    def _epoch(self, report: Reporter) -> None:
        """Steps of the current epoch that are still to do."""
        whole = self.sampler.epoch(self.progress.epoch)[self.progress.step :]
        own = [patches[self.here.rank :: self.here.count] for patches in whole]
        self._model.train()
        for batch in in_order(own, self.data.training, self.size):
            begun = perf_counter()
            terms = self._step(batch)
            self.progress.seconds += perf_counter() - begun
            self.progress.step += 1
            self._note(terms)
            self._tell(report, terms["loss"])
            if self.progress.step % self.options.checkpoint_steps == 0:
                self._save()

    def _step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser; its losses."""
        import torch

        rate = learning_rate(self.options.optimiser, self._steps_done, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        inputs, label, mask = self._tensors(batch)
        self.optimiser.zero_grad(set_to_none=True)
        with self._autocast():
            estimate = self._whole(self._model(inputs), inputs)
        terms = self._loss(estimate.float(), inputs, label, mask)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        largest = self.options.optimiser.largest_gradient_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), largest)
        values = self.here.total(torch.stack([*terms.values(), norm.detach()]).detach().cpu()) / self.here.count
        self._check_finite(float(values[0]), float(values[-1]))
        self.optimiser.step()
        return {name: float(value) for name, value in zip(terms, values, strict=False)}

    def _check_finite(self, loss: float, norm: float) -> None:
        if not (isfinite(loss) and isfinite(norm)):
            raise InputError("training loss", f"{loss} with a gradient of norm {norm} in step {self._steps_done + 1}",
                             "finite values", _LOWER)  # fmt: skip

    def _note(self, terms: Mapping[str, float]) -> None:
        """Add the losses of a step to the sums, and stop if they explode."""
        done, loss = self.progress, terms["loss"]
        for name, value in terms.items():
            done.sums[name] = done.sums.get(name, 0.0) + value
        done.smoothed = loss if self._steps_done == 1 else (1 - _NEW) * done.smoothed + _NEW * loss
        done.lowest = min(done.lowest, done.smoothed)
        limit = self.options.divergence
        if done.smoothed > limit * done.lowest:
            raise InputError("training loss", f"{done.smoothed:.4g} in step {self._steps_done}, "
                             f"{limit:g} times its lowest value", "a falling loss", _LOWER)  # fmt: skip

    def _tell(self, report: Reporter, loss: float) -> None:
        done = self._steps_done
        left_s = (perf_counter() - self._started) / (done - self._steps_before) * (self.steps - done)
        detail = (f"epoch {self.progress.epoch + 1} of {self.options.epochs}, loss {loss:.3f}, "
                  f"{duration(left_s)} left")  # fmt: skip
        try:
            report("train", done / self.steps, detail)
        except CancelledError:
            self._save()
            raise

    def _finish_epoch(self, board: Board) -> None:
        """Validate, keep the best weights, write table and checkpoint."""
        done = self.progress
        errors, slices = self._validate()
        nrmse = float(np.mean(list(errors.values())))
        row = {
            "epoch": done.epoch + 1, "steps": self._steps_done,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            **{name: value / self.sampler.steps for name, value in done.sums.items()},
            **{f"nrmse_{name}": value for name, value in errors.items()}, "nrmse": nrmse, "seconds": done.seconds,
        }  # fmt: skip
        done.rows.append(row)
        done.epoch, done.step, done.sums = done.epoch + 1, 0, {}
        is_best = nrmse < done.best_nrmse
        if is_best:
            done.best_nrmse, done.best_epoch = nrmse, done.epoch
        if self.here.leads:
            if is_best:
                save_best(self.folder, self.network, done.epoch, nrmse)
            self._save()
            write_table(self.folder / TABLE, done.rows)
        board.add(done.epoch, row, slices)

    def _validate(self) -> tuple[dict[str, float], Any]:
        """NRMSE of each output in the held-out heads, patch beside patch; and maps of the first patch for pictures."""
        import torch

        self.network.eval()
        scales = [self.data.constants.normalisation[name] for name in self.data.outputs]
        sums, shown = ErrorSums(scales, self.here.device), np.zeros((1, 1, 1, 1), np.float32)
        patches = grid_patches(self.data.validation, self.options.patches, self.size)
        per_call = max(self.options.batch_size // self.here.count, 1)
        own = patches[self.here.rank :: self.here.count]
        with torch.no_grad():
            for first in range(0, len(own), per_call):
                batch = cut(self.data.validation, own[first : first + per_call], self.size)
                inputs, label, mask = self._tensors(batch)
                with self._autocast():
                    estimate = self._whole(self.network(inputs), inputs)
                sums.add(estimate.float(), label, mask)
                if first == 0:
                    shown = torch.cat([inputs, estimate.float() * mask, label], dim=1)[0].cpu().numpy()
        sums.sums = self.here.total(sums.sums)
        return dict(zip(self.data.outputs, sums.percent(), strict=True)), shown

    def _tensors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, labels and mask on the device."""
        import torch

        images, mask = (torch.from_numpy(one).to(self.here.device) for one in (batch.images, batch.mask))
        count = len(self.data.inputs)
        inputs = images[:, :count].contiguous(memory_format=_layout(self.options))
        return inputs, images[:, count:], mask

    def _whole(self, output: Tensor, inputs: Tensor) -> Tensor:
        """The estimate of which the network may give the difference to some of its inputs alone."""
        added = added_inputs(self.data.inputs)
        return output + inputs[:, list(added)] if added else output

    def _autocast(self) -> Any:
        import torch

        kind = self.here.device.partition(":")[0]
        return torch.autocast(kind, torch.bfloat16, enabled=self.options.precision == "bfloat16")

    def _save(self) -> None:
        if self.here.leads:
            save(self.folder, self.progress, self.network, self.optimiser)


def _check_batch(options: TrainingOptions, processes: int) -> None:
    if options.batch_size % processes:
        raise InputError("batch size", options.batch_size, f"a multiple of the {processes} processes")
    # The deepest level has (size / 16)³ voxels of each patch, and batch normalisation needs two.
    if options.batch_size // processes * (options.patches.size_voxels // 16) ** 3 < 2:
        raise InputError("batch size", f"1 patch of 16³ voxels in each of {processes} processes", "2 or larger ones")


def _check_precision(options: TrainingOptions, device: str) -> None:
    """Refuse bfloat16 where it is slower, and where gradients of the deepest levels were at times not finite."""
    if options.precision == "bfloat16" and not has_bfloat16_units(choose(device)):
        raise InputError("precision", f"bfloat16 on {device}, which has no units for it", "float32",
                         "Set it in the options, or train on a GPU or a processor with AMX.")  # fmt: skip


def _layout(options: TrainingOptions) -> Any:
    import torch

    return torch.channels_last_3d if options.channels_last else torch.contiguous_format


def _new_network(data: TrainingSet, options: TrainingOptions) -> UNet:
    """Network of random weights that the seed alone decides."""
    import torch

    from ..networks.unet import UNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = UNet(len(data.inputs), len(data.outputs), options.base_width)
    return network.to(memory_format=_layout(options))  # type: ignore[call-overload,no-any-return]


def _compiled(network: UNet, options: TrainingOptions) -> Any:
    import torch

    return torch.compile(network) if options.compile else network


def duration(seconds: float) -> str:
    """Time in words, such as "1 h 20 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
