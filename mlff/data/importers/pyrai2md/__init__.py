"""Logs and training data of PyRAI2MD."""
