"""Simulated patients with known truth; shares no line with the reconstruction."""
