"""Lesions: label maps, measures against the surrounding white matter, and suggested grades."""
