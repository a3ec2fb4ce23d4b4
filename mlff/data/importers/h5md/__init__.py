"""H5MD files."""
