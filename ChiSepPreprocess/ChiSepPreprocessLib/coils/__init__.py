"""Coil combination and the phase offset at echo time zero."""
