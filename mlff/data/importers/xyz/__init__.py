"""Extended xyz files, zips and folders of them; files of ASE; the states of xxMD."""
