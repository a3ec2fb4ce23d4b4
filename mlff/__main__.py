"""``python -m mlff`` is the command ``mlff``."""

from mlff.cli.main import main

main(prog_name="mlff")
