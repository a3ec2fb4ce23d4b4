"""The process that a calculator runs in: ``python -m mlff.label.worker``.

Lines of JSON come in, a line goes out for each: first the calculator's specification (answered by ready or fatal), then
structures (answered by their labels or an error). What the calculator prints goes nowhere.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ase import Atoms

from mlff.label.calculators import CalculatorSpec
from mlff.label.compute import Labeller


def _labelled(labeller: Labeller, asked: dict[str, Any]) -> dict[str, Any]:
    atoms = Atoms(asked["numbers"], asked["positions"], cell=asked["cell"], pbc=asked["pbc"], masses=asked["masses"])
    return labeller(atoms, asked["charge"], asked["multiplicity"])


def main() -> None:
    """Answer until the input ends."""
    with os.fdopen(os.dup(1), "w") as replies:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)  # Fortran and C print there, too

        def reply(answer: dict[str, Any]) -> None:
            replies.write(json.dumps(answer) + "\n")
            replies.flush()

        try:
            labeller = Labeller(CalculatorSpec(**json.loads(sys.stdin.readline())))
        except ValueError as error:
            reply({"fatal": str(error)})
            return
        reply({"ready": True})
        for line in sys.stdin:
            reply(_labelled(labeller, json.loads(line)))


if __name__ == "__main__":
    main()
