"""Measurements of the package itself: speed, memory and growth, against the limits of the machine and against peers."""
