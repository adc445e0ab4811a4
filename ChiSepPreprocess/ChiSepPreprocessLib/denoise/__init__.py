"""Noise removed from the complex images before everything else; optional."""
