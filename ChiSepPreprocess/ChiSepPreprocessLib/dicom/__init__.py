"""DICOM files to volumes in physical units.

Headers alone decide what a file is; names of files and folders never do. Uncompressed images, classic or
enhanced, are read through pydicom: each keeps its own rescale values exactly, geometry comes from the positions
of the slices, and it works inside Slicer without another program. (dcm2niix rounds the slope of Philips phase,
an error of 4e-4 rad.) Compressed images are decoded by dcm2niix. Tests hold both ways against each other on
scanner data.
"""
