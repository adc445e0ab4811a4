"""Regions that methods need: reference regions."""
