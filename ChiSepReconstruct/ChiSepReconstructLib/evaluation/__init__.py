"""Metrics and the masks in which they are taken."""
