"""Compressed DICOM volumes, decoded by dcm2niix."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..artifacts import Array
from ..errors import InputError, MissingDependencyError
from .roles import Component, component_of

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

    from .series import DicomStack

#: A volume takes seconds; a decoder that hangs must not hang the user.
TIMEOUT_S = 600.0


def decode(stack: DicomStack) -> Array:
    """Rescaled values of a compressed volume on its own grid, float32.

    Raises
    ------
    InputError
        If dcm2niix does not give exactly this volume.
    MissingDependencyError
        If dcm2niix is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="chisep-") as folder:
        images = _convert([frame.path for frame in stack.frames], Path(folder))
        matching = [image for image in images if _is_volume(image, stack)]
        if len(matching) != 1:
            raise InputError("compressed DICOM series", f"{len(matching)} volumes after decoding", "one volume",
                             "Export the series without compression.")  # fmt: skip
        return _on_grid(matching[0], stack)


def _convert(files: list[Path], folder: Path) -> list[Path]:
    """NIfTI files that dcm2niix makes of these files, staged under neutral names."""
    staged, converted = folder / "in", folder / "out"
    staged.mkdir()
    converted.mkdir()
    for number, file in enumerate(dict.fromkeys(files)):
        shutil.copyfile(file, staged / f"{number:06d}.dcm")
    # -p n: display values, so that the rescale rules are the same for both ways of reading.
    options = ["-b", "y", "-ba", "y", "-z", "n", "-p", "n", "-f", "volume", "-o", str(converted)]
    try:
        subprocess.run([_program(), *options, str(staged)], capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError("compressed DICOM series", f"no volume after {TIMEOUT_S:.0f} s of decoding", "one volume",
                         "Export the series without compression.") from error  # fmt: skip
    except OSError as error:
        raise MissingDependencyError(f"dcm2niix could not be run: {error.strerror}.") from error
    return sorted(converted.glob("*.nii"))


def _program() -> str:
    try:
        import dcm2niix
    except ImportError:
        found = shutil.which("dcm2niix")
        if found is None:
            raise MissingDependencyError("Compressed DICOM needs dcm2niix: pip install dcm2niix.") from None
        return found
    return str(dcm2niix.bin)


def _is_volume(image: Path, stack: DicomStack) -> bool:
    sidecar = json.loads(image.with_suffix(".json").read_text(encoding="utf-8"))
    time, wanted = sidecar.get("EchoTime"), stack.header.echo_time_s
    # The last ImageType value is dcm2niix's own verdict on the component.
    component = component_of(reversed(sidecar.get("ImageType", [])[2:]))
    same_part = component == stack.header.component or stack.header.component == Component.OTHER
    return same_part and (time is None or wanted is None or abs(time - wanted) < 1e-5)


def _rescaled(image: Nifti1Image, stack: DicomStack) -> Array:
    """Values by the rescale of the DICOM headers: NIfTI slopes are rounded."""
    rescales = {frame.header.rescale or (1.0, 0.0) for frame in stack.frames}
    if len(rescales) > 1:  # the decoder has applied them slice by slice
        return np.asanyarray(image.dataobj)
    ((slope, intercept),) = rescales
    return np.asarray(image.dataobj.get_unscaled() * slope + intercept)


def _on_grid(path: Path, stack: DicomStack) -> Array:
    """Data with the axes flipped to the stack's own grid."""
    import nibabel
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    image = nibabel.load(path)
    grid = stack.grid()
    to_ours = np.linalg.inv(grid.affine) @ image.affine
    orientation = io_orientation(to_ours)
    flipped = apply_orientation(_rescaled(image, stack), orientation)
    remaining = to_ours @ inv_ornt_aff(orientation, image.shape[:3])
    if flipped.shape != grid.shape or np.abs(remaining - np.eye(4)).max() > 0.01:
        raise InputError("compressed DICOM series", "another geometry after decoding", "the headers' geometry",
                         "Export the series without compression.")  # fmt: skip
    return flipped.astype(np.float32)
