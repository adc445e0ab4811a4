"""Phase unwrapping in space and over echoes."""
