"""From unwrapped echoes to one field map."""
