"""Traces of mudslide."""
