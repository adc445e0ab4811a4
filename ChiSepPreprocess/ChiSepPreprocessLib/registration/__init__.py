"""Bringing images onto one grid: geometry, rigid registration, resampling."""
