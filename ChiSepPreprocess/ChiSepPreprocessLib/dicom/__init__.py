"""DICOM files to volumes in physical units.

Headers alone decide what a file is; names of files and folders never do. Images, classic or enhanced, are read one
at a time: each keeps its own rescale values exactly, geometry comes from the positions of the slices, and it works
inside Slicer without another program. (dcm2niix rounds the slope of Philips phase, an error of 4e-4 rad.) Pixels
that are compressed by more than run lengths are unpacked by dcm2niix. Tests hold both ways against each other on
scanner data.

The road: ``collect`` finds files, ``headers`` (with ``tags`` and ``roles``) tells what their images are, ``series``
makes volumes of them and ``groups`` scans; ``gradient_echo`` makes an acquisition of a scan: ``signal`` reads its
values (``pixels``, ``decoder``), which ``checks`` refuses if they cannot be right, ``phase`` scales to radians,
``polarity`` gives the project's sign, and ``record`` says what was done.
"""
