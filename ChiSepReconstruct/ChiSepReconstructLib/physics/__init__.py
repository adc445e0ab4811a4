"""The dipole field and the relaxation that susceptibility causes."""
