"""NetCDF files of SHNITSEL."""
