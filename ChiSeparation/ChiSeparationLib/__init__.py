"""Susceptibility maps to display, lesion grading and report; the whole chain and its command line."""
