"""What is known of one training run, in one row: errors, cost, and how it was made. Other packages' runs have it, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mlff.train.state import replace_file

ROW_FILE = "accuracy.json"
"""The row of a run, in the folder of the run."""
PARTS = ("val", "test")
ERRORS = {
    "energy_mae": "energy_mae_meV", "energy_rmse": "energy_rmse_meV",
    "forces_mae": "forces_mae_meV_per_A", "forces_rmse": "forces_rmse_meV_per_A",
}  # fmt: skip
"""Column of a row (after its part) -> key of ``Metrics.table``."""


@dataclass(frozen=True)
class Row:
    """One run: a model, trained on a data set with a seed and a learning rate under a budget.

    Energies are meV a structure, forces meV/angstrom a component, over all states; None is what was not measured.
    """

    data: str
    model: str
    """What it is called in the table."""
    learning_rate: float
    seed: int
    budget: str
    """In words, such as ``3 processor minutes``; rows of different budgets are never averaged."""
    package: str = "mlff"
    stop_reason: str = ""
    epochs: float | None = None
    steps: int | None = None
    seconds: float | None = None
    """That training took, by the clock of the budget."""
    parameters: int | None = None
    frames_per_second: float | None = None
    """Training, without validation, by the clock of the budget."""
    device: str = "cpu"
    """``cpu`` or ``cuda``."""
    threads: int = 1
    md_mode: str | None = None
    """``compiled`` or ``eager``."""
    md_milliseconds: float | None = None
    """Median wall time of a velocity-Verlet step of the first test frame."""
    md_processor_milliseconds: float | None = None
    """Median processor time of that step, which other programs disturb less."""
    peak_megabytes: float | None = None
    """Of the process that trained, 10^6 bytes."""
    val_energy_mae: float | None = None
    val_energy_rmse: float | None = None
    val_forces_mae: float | None = None
    val_forces_rmse: float | None = None
    test_energy_mae: float | None = None
    test_energy_rmse: float | None = None
    test_forces_mae: float | None = None
    test_forces_rmse: float | None = None
    error: str | None = None
    """Why there are no errors: the training diverged."""

    @property
    def md_step(self) -> float | None:
        """What tables call the time of an MD step, ms: processor time of one thread of a processor, else wall time."""
        return self.md_processor_milliseconds if self.device == "cpu" and self.threads == 1 else self.md_milliseconds

    @property
    def criterion(self) -> float:
        """What learning rates are compared by: the error of the forces on val (of the energy where there are no forces)."""
        found = self.val_forces_mae if self.val_forces_mae is not None else self.val_energy_mae
        return float("inf") if found is None or self.error is not None else found

    def document(self) -> dict[str, Any]:
        """The row as JSON values."""
        return asdict(self)


def error_columns(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of a row from ``Metrics.table`` of val and test."""
    return {
        f"{part}_{column}": tables[part].get(key) for part in PARTS if part in tables for column, key in ERRORS.items()
    }


def write_row(folder: Path, row: Row) -> None:
    """Put the row into the folder of its run, which makes the run a finished one."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / ROW_FILE, (json.dumps(row.document(), indent=2, allow_nan=False) + "\n").encode())


def read_row(folder: Path) -> Row | None:
    """The row of a finished run; None where there is none.

    Raises:
        ValueError: a file that is no row, with its name.
    """
    path = folder / ROW_FILE
    if not path.is_file():
        return None
    known = {field.name for field in fields(Row)}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Row(**{name: value for name, value in values.items() if name in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"`{path}` is no row of `mlff benchmark accuracy` ({error}); remove it to measure that run "
                         f"again") from error


def read_rows(folder: Path) -> list[Row]:
    """The rows of every finished run below a folder, by the names of their folders."""
    found = (read_row(path.parent) for path in sorted(folder.rglob(ROW_FILE)))
    return [row for row in found if row is not None]
