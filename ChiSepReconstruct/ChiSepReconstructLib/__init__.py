"""Maps to susceptibility maps: physics, solvers, networks, evaluation."""
