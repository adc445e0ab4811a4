"""The tab "Lesions": segment, grade, compare, report. What happens to lesions and grades is decided in ``..scene``."""
