"""Removal of the field of sources outside the brain."""
