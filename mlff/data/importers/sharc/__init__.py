"""Runs of SHARC."""
