"""Grids: one interpolation from one to another, and grids with B0 along their third axis."""
