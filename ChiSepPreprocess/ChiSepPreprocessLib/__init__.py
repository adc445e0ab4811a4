"""From DICOM or NIfTI to an acquisition, and from an acquisition to maps."""

__version__ = "0.1.0"
