"""What display tools need besides the scene: named places in the brain."""
