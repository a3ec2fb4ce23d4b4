"""Records of a run for programs: ``metrics.csv`` with a row an epoch, and TensorBoard's event files."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from mlff.train.state import replace_file

COLUMNS = (
    "epoch", "step", "time_s", "learning_rate", "train_loss", "train_energy_mae_meV", "train_forces_mae_meV_per_A",
    "val_loss", "val_energy_mae_meV", "val_energy_rmse_meV", "val_forces_mae_meV_per_A", "val_forces_rmse_meV_per_A",
    "frames_per_second", "val_coupling_mae_meV_per_A", "val_nac_mae_per_A", "val_dipole_mae_mD", "val_soc_mae_per_cm",
)  # fmt: skip

Row = dict[str, float | int | None]


class RunLogs:
    """Writes both records; the CSV file is replaced as a whole, so that it never ends in half a row."""

    def __init__(self, csv_path: Path, tensorboard_path: Path, *, completed_epochs: int = 0, step: int = 0) -> None:
        """Go on after `completed_epochs`; rows of later epochs, which a killed run may have left, are dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self.csv_path = csv_path
        self.rows = [row for row in _read(csv_path) if int(row["epoch"] or 0) <= completed_epochs]
        self._writer = SummaryWriter(str(tensorboard_path), purge_step=step + 1 if step else None)

    def add(self, row: Row) -> None:
        """Record an epoch; the row of the same epoch, where it was recorded before it was complete, is replaced."""
        self.rows = [old for old in self.rows if old["epoch"] != row["epoch"]] + [row]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        replace_file(self.csv_path, text.getvalue().encode())
        step = int(row["step"] or 0)
        for name, value in row.items():
            if value is not None and name not in ("epoch", "step"):
                group, _, rest = name.partition("_")
                tag = f"{group}/{rest}" if group in ("train", "val") else f"run/{name}"
                self._writer.add_scalar(tag, value, step)
        self._writer.add_scalar("run/epoch", int(row["epoch"] or 0), step)
        self._writer.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        self._writer.close()


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            {name: (int(text) if name in ("epoch", "step") else float(text)) if text else None for name, text in row.items()}
            for row in csv.DictReader(stream)
        ]
