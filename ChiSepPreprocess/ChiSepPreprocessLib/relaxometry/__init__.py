"""Decay rates: R2* of the gradient echoes, R2 of the spin echoes, and R2′ between them."""
