"""Maps from volumes of the scene: what they are, the scan they are of, and their way to the child process. No Qt."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ChiSepPreprocessLib.artifacts import ARTIFACTS, Grid, Kind, Map, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, ChiSepError, InputError
from ChiSepPreprocessLib.files import as_json_value, sidecar, write_json
from ChiSepPreprocessLib.gui.computation import Job
from ChiSepPreprocessLib.gui.worker import ChildProcess, Event
from ChiSepPreprocessLib.progress import Status
from ChiSepPreprocessLib.quantities import ms_to_s

from .tasks import SNAPSHOT

#: Artifacts that volumes can be given as, by the parameter that names the volume.
VOLUMES: Mapping[str, str] = {
    "localField": "local_field", "brainMask": "brain_mask", "r2star": "r2star", "r2prime": "r2prime",
    "magnitude": "magnitude", "fieldMask": "field_mask", "fieldSigma": "field_sigma", "csfMask": "csf_mask",
}  # fmt: skip

#: Attribute that Slicer gives volumes which it loaded from DICOM, whose axes are those of the scanner.
_DICOM_UIDS = "DICOM.instanceUIDs"

_STEP = "write volumes"


def check_volumes(volumes: Mapping[str, Any], *, in_scanner_space: bool = False) -> Grid:
    """Hold volume nodes against what they are given as, without a look at their voxels.

    Parameters
    ----------
    volumes : mapping of str to vtkMRMLScalarVolumeNode
        By artifact, in the artifact's unit.
    in_scanner_space : bool
        State that the axes of all of them are the scanner's. Nodes of this extension and from DICOM tell it themselves.

    Returns
    -------
    Grid
        Of all of them.

    Raises
    ------
    InputError
        If there is none, one is another artifact, has no image, stands under a transform or on another grid than the
        first, or does not tell its axes.
    """
    if not volumes:
        raise InputError("volumes", "none", "at least the local field and the brain mask", "Choose them by name.")
    grids = {name: _grid_of(node, name, in_scanner_space) for name, node in volumes.items()}
    first, grid = next(iter(grids.items()))
    for name, one in grids.items():
        if not one.matches(grid):
            raise InputError(f"grid of {name}", f"another than that of {first}", "one grid for all volumes",
                             "Resample it first, for example with Resample Scalar/Vector/DWI Volume.")  # fmt: skip
    return grid


def _grid_of(node: Any, artifact: str, in_scanner_space: bool) -> Grid:
    from ChiSepPreprocessLib.scene.nodes import ARTIFACT, HANDEDNESS
    from ChiSepPreprocessLib.scene.volumes import as_made, grid_from_node

    held = node.GetAttribute(ARTIFACT)
    if held not in (None, artifact):
        raise InputError(f"volume '{node.GetName()}'", held, artifact, "Choose another volume.")
    if node.GetImageData() is None:
        raise InputError(f"volume '{node.GetName()}'", "no image", "a volume with voxels")
    if not (held or in_scanner_space or node.GetAttribute(_DICOM_UIDS)):
        raise InputError(f"axes of the volume '{node.GetName()}'", "nothing that tells where it comes from",
                         "axes of the scanner, which tell the direction of B0",
                         "If the volumes were never turned, say so with the check mark below them.")  # fmt: skip
    return as_made(np.empty((0, 0, 0)), grid_from_node(node), node.GetAttribute(HANDEDNESS))[1]


def map_of(node: Any, artifact: str) -> Map:
    """Map that a checked node holds; one of this extension keeps what made it, any other counts as given.

    Raises
    ------
    InputError
        If its voxels cannot be what it is given as.
    """
    from ChiSepPreprocessLib.scene.nodes import ARTIFACT, map_from_node
    from ChiSepPreprocessLib.scene.volumes import array_from_node, grid_from_node

    if node.GetAttribute(ARTIFACT):
        return map_from_node(node)
    data = array_from_node(node)
    is_mask = ARTIFACTS[artifact].kind is Kind.MASK
    return Map(name=artifact, data=data > 0 if is_mask else data.astype(np.float32), grid=grid_from_node(node))


def scan_of(
    grid: Grid, *, field_strength_t: str, echo_times_ms: str, imaging_frequency_mhz: str = ""
) -> ScanParameters:
    """Scan parameters as the user writes them; the direction of B0 is that of the grid.

    Raises
    ------
    InputError
        If field strength or echo times are missing, or a value is no number or out of range.
    """
    frequency = _numbers("imaging frequency", imaging_frequency_mhz, "MHz") if imaging_frequency_mhz.strip() else ()
    return ScanParameters(
        echo_times_s=tuple(round(ms_to_s(one), 9) for one in _numbers("echo times", echo_times_ms, "ms")),
        field_strength_t=_one("field strength", _numbers("field strength", field_strength_t, "T")),
        b0_direction_ijk=grid.b0_direction_ijk,
        imaging_frequency_hz=1e6 * _one("imaging frequency", frequency) if frequency else None,
    )


def _numbers(quantity: str, text: str, unit: str) -> tuple[float, ...]:
    parts = text.replace(";", " ").replace(",", " ").split()
    with suppress(ValueError):
        if parts:
            return tuple(float(part) for part in parts)
    raise InputError(quantity, f"'{text}'" if parts else "nothing", f"a number in {unit}, or several",
                     "Volumes do not keep it; it stands in the scan's protocol.")  # fmt: skip


def _one(quantity: str, numbers: Sequence[float]) -> float:
    if len(numbers) != 1:
        raise InputError(quantity, f"{len(numbers)} numbers", "one, with a point before decimals")
    return numbers[0]


class JobOnVolumes(Job):
    """Writes volumes where a child can read them, one at each look, and then computes.

    Writing compressed files takes seconds, so this process writes plain arrays, and a child turns them into maps.

    Parameters
    ----------
    volumes : mapping of str to vtkMRMLScalarVolumeNode
        Checked ones, by artifact.
    scan : ScanParameters
        Of them.
    write : callable
        Starts the child that turns the folder's arrays into maps.
    compute : callable
        Starts the computation on the folder.
    """

    def __init__(
        self, volumes: Mapping[str, Any], scan: ScanParameters, write: Callable[[Path], ChildProcess],
        compute: Callable[[Path], Job],
    ) -> None:  # fmt: skip
        self._folder = Path(tempfile.mkdtemp(prefix="chisep-volumes-"))
        self._waiting, self._scan = dict(volumes), scan
        self._notes: list[dict[str, Any]] = []
        self._affine: Any = None
        self._write, self._compute = write, compute
        self._writer: ChildProcess | None = None
        self._job: Job | None = None
        self._error: Exception | None = None

    def poll(self) -> list[Event]:
        """Give the events since the last call, without waiting."""
        if self._job is not None:
            return self._job.poll()
        return [Status(_STEP, 0.0, next(iter(self._waiting)))] if self._waiting else []

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to wait for; goes one step on."""
        if self._error is None:
            try:
                return self._advance()
            except (ChiSepError, OSError) as error:
                self._error = error
        return True

    def _advance(self) -> bool:
        if self._waiting:
            self._save_next()
        elif self._writer is None:
            content = {"affine": self._affine, "maps": self._notes}
            write_json(self._folder / SNAPSHOT, json.loads(json.dumps(content, default=as_json_value)))
            self._writer = self._write(self._folder)
        elif self._job is None:
            if self._writer.finished:
                self._writer.result()
                self._job = self._compute(self._folder)
        else:
            return self._job.finished
        return False

    def _save_next(self) -> None:
        artifact = next(iter(self._waiting))
        one = map_of(self._waiting.pop(artifact), artifact)
        np.save(self._folder / f"{one.name}.npy", one.data)
        self._affine = one.grid.affine
        self._notes.append(sidecar(one, self._scan))

    def cancel(self) -> None:
        """Stop the computation and everything it started; returns within a second."""
        if self._job is not None:
            self._job.cancel()
            return
        self._error = self._error or CancelledError("The computation was cancelled.")
        if self._writer is not None:
            self._writer.cancel()

    def nodes(self) -> dict[str, Any]:
        """Load the result of a finished job.

        Raises
        ------
        CancelledError
            If it was cancelled.
        ComputationError
            If it failed.
        """
        if self._error is not None:
            raise self._error
        assert self._job is not None
        return self._job.nodes()

    def close(self) -> None:
        """Stop what still runs and remove temporary files."""
        self.cancel()
        if self._job is not None:
            self._job.close()
        shutil.rmtree(self._folder, ignore_errors=True)
