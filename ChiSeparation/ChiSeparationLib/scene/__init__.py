"""The review of lesions in a scene, without Qt: segments, the reading kept with them, and what the views show.

Importing this package or any of its modules loads neither ``slicer`` nor ``vtk``; they load at the first call.
"""
