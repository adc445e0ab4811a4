"""Network architectures; importing this package does not load torch."""
