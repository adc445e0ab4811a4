"""Training data of simulated people: a folder of subjects with measured maps and the truth."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.artifacts import Map, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, write_json, write_map, writing_to
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import larmor_frequency_hz

from .acquisition.protocol import AcquisitionOptions, random_protocol
from .anatomy.options import AnatomyOptions

#: Record of the whole folder, and of each subject.
RECORD, SUBJECT_RECORD = "simulation.json", "subject.json"
#: Folder of the labels in a subject's folder.
TRUTH = "truth"
#: Changes whenever the same seed and options give other data.
GENERATOR_VERSION = 2

_B0 = (0.0, 0.0, 1.0)
_METHOD = "simulated for training"
#: Libraries that would start a thread for each core in every process.
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class TrainingSubjectOptions:
    """Options of :func:`simulate_subjects`.

    Parameters
    ----------
    anatomy : AnatomyOptions
        How heads differ.
    acquisition : AcquisitionOptions
        How scans differ.
    """

    anatomy: AnatomyOptions = field(default_factory=AnatomyOptions)
    acquisition: AcquisitionOptions = field(default_factory=AcquisitionOptions)


def simulate_subjects(
    folder: Path, count: int, seed: int, options: TrainingSubjectOptions, report: Reporter, workers: int = 1
) -> None:
    """Fill a folder with simulated subjects, each in a folder of its own (``s0001``, ``s0002``, …).

    A subject's folder holds ``brain_mask``, ``local_field``, ``r2star``, ``r2`` and ``r2prime`` as measured, and in
    ``truth`` ``chi_total``, ``chi_para``, ``chi_dia``, ``local_field`` and ``r2prime``. It appears when it is whole;
    those that are there are not made again, and more can be added later. A subject depends on the seed and its number
    alone.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    count : int
        Subjects in the end.
    seed : int
        Of the whole set, ≥ 0.
    options : TrainingSubjectOptions
        See there.
    report : Reporter
        Progress; cancelling leaves the subjects that are whole.
    workers : int
        Processes, of about 1.5 GB each; 1 computes in this one.

    Raises
    ------
    InputError
        If the folder was begun with another seed or other options, or a number is out of range.
    OutputError
        If it cannot be written.
    """
    if not (1 <= count <= 9999 and seed >= 0 and workers >= 1):
        raise InputError("subjects, seed, workers", (count, seed, workers), "1 to 9999, 0 or more, 1 or more")
    _check_record(folder, seed, options)
    missing = [number for number in range(1, count + 1) if not (folder / _name(number) / SUBJECT_RECORD).is_file()]
    for done, number in enumerate(_made(folder, missing, seed, options, workers, report), 1):
        report("simulated subjects", done / len(missing), f"{_name(number)} of {count}")
    _record_speed(folder, count)
    report("simulated subjects", 1.0)


def simulate_subject(folder: Path, number: int, seed: int, options: TrainingSubjectOptions, report: Reporter) -> None:
    """Make one subject of a set; see :func:`simulate_subjects`."""
    from .acquisition.maps import acquire
    from .anatomy.brain import random_head

    started_s, process_s = time.perf_counter(), time.process_time()
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    head = random_head(rng, options.anatomy)
    report("simulated subjects", 0.3, f"{_name(number)}: anatomy")
    protocol = random_protocol(rng, options.acquisition)
    strength_t = options.acquisition.field_strength_t
    subject = acquire(head, protocol, strength_t, rng, report.span(0.3, 0.9))
    scan = ScanParameters(echo_times_s=protocol.echo_times_s, field_strength_t=strength_t, b0_direction_ijk=_B0,
                          imaging_frequency_hz=larmor_frequency_hz(strength_t))  # fmt: skip
    temporary = folder / f".part-{_name(number)}"
    with writing_to(temporary):
        shutil.rmtree(temporary, ignore_errors=True)
    for place, maps in ((temporary, subject.measured), (temporary / TRUTH, subject.truth)):
        for name, data in maps.items():
            write_map(Map(name=name, data=data, grid=subject.grid, method=_METHOD), scan, place)
    write_json(temporary / SUBJECT_RECORD, {
        "seed": seed, "number": number, "protocol": asdict(protocol), "structures": head.region_names[1:],
        "wall_s": time.perf_counter() - started_s, "process_s": time.process_time() - process_s})  # fmt: skip
    with writing_to(folder / _name(number)):
        shutil.rmtree(folder / _name(number), ignore_errors=True)
        temporary.rename(folder / _name(number))


def _name(number: int) -> str:
    return f"s{number:04d}"


def _made(
    folder: Path, missing: list[int], seed: int, options: TrainingSubjectOptions, workers: int, report: Reporter
) -> Iterator[int]:
    """Numbers of subjects, each as soon as it is whole."""
    if workers == 1:
        for done, number in enumerate(missing):
            part = report.span(done / len(missing), (done + 1) / len(missing))
            simulate_subject(folder, number, seed, options, part)
            yield number
        return
    # Fresh processes: forked ones would inherit locks of threads that they do not have.
    with _one_thread_each(), ProcessPoolExecutor(min(workers, max(len(missing), 1)), get_context("spawn")) as pool:
        calls: dict[Future[None], int] = {
            pool.submit(simulate_subject, folder, n, seed, options, Reporter()): n for n in missing
        }
        try:
            for call in as_completed(calls):
                call.result()
                yield calls[call]
        finally:
            for call in calls:
                call.cancel()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start in this block use one thread each."""
    before = {name: os.environ.get(name) for name in _THREAD_LIMITS}
    os.environ.update(dict.fromkeys(_THREAD_LIMITS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _check_record(folder: Path, seed: int, options: TrainingSubjectOptions) -> None:
    """Hold the folder's record against what is asked for, or begin it."""
    wanted: dict[str, Any] = {"generator_version": GENERATOR_VERSION, "seed": seed, "options": asdict(options)}
    path = folder / RECORD
    if not path.is_file():
        write_json(path, {**wanted, "version": __version__})
        return
    found = read_json(path)
    differing = [key for key in wanted if _flat(found.get(key)) != _flat(wanted[key])]
    if differing:
        changes = "; ".join(_difference(key, found.get(key), wanted[key]) for key in differing)
        raise InputError("folder of simulated subjects", f"one begun with other values ({changes})",
                         "the same seed and options as before", "Choose another folder.")  # fmt: skip


def _flat(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _difference(key: str, found: Any, wanted: Any) -> str:
    """First place in which two records differ, in words."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in sorted({*found, *wanted}):
            if _flat(found.get(name)) != _flat(wanted.get(name)):
                return _difference(name, found.get(name), wanted.get(name))
    return f"{key} {found}, now {wanted}"


def _record_speed(folder: Path, count: int) -> None:
    """Note in the folder's record how long its subjects took."""
    notes = [read_json(folder / _name(number) / SUBJECT_RECORD) for number in range(1, count + 1)]
    speed = {key: float(np.mean([note[key] for note in notes])) for key in ("wall_s", "process_s")}
    write_json(folder / RECORD, {**read_json(folder / RECORD), "subjects": count, "mean_per_subject": speed})
