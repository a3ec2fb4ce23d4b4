"""ASE databases of SPaiNN and SchNarc."""
