"""Trajectories and databases of ASE, image by image."""
