"""Maps turned so that B0 lies along the third axis, and back."""
