"""What is handed on: a self-contained HTML page and CSV tables."""
