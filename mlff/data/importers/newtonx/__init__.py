"""Runs of Newton-X."""
