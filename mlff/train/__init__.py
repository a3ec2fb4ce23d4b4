"""Training: configuration, data loading, the loop, metrics and what a run leaves behind."""
