"""Training of the three networks as published, on maps of patients or on simulated anatomy."""
