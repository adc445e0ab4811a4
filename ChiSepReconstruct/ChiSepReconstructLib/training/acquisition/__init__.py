"""Simulated acquisition for training: from sources on a fine grid to the maps that preprocessing would give."""
