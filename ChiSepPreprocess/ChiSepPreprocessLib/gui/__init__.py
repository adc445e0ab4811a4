"""Panels, their logic, and the child process that computes; only the panels need Qt."""
