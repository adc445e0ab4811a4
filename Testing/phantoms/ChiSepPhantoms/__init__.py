"""Simulated patients with known truth; shares no line with the reconstruction."""

from .dicom import write_dicom_study
from .options import PhantomOptions
from .simulate import simulate
from .study import Lesion, Phantom, write_nifti_study, write_truth

__all__ = [
    "Lesion",
    "Phantom",
    "PhantomOptions",
    "simulate",
    "write_dicom_study",
    "write_nifti_study",
    "write_truth",
]
