"""Iterations that the solvers share, with a status that says how each ended."""
