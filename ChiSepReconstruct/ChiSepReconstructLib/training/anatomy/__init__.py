"""Simulated anatomy for training: heads of many people, and volumes of shapes that are no head at all.

Made for training alone. The phantom by which the project is tested has its own code and its own anatomy.
"""
