"""Lesions from FLAIR: tissue statistics, conservative seeds, growth."""
