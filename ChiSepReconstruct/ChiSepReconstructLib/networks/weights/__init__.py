"""Weights of the networks: sets that never mix, their import, download and keeping; importing it loads no torch."""
