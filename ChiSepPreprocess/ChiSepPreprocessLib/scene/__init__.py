"""Artifacts as MRML nodes: colour tables, windows, scenes, ``.mrb`` files and slice-view pictures.

Works in Slicer and, without a screen, on ``slicer-core`` from PyPI. Importing this package or any of its modules
loads neither ``slicer`` nor ``vtk``; they load at the first call. ``colors`` and ``windows`` are plain data.
"""
