"""The energies of a simulation over time: how well they are conserved, as numbers, a table and a plot."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .aside import written_aside

COLUMNS = ("step", "time_fs", "potential_eV", "kinetic_eV", "total_eV", "temperature_K")


@dataclass(frozen=True)
class EnergyLog:
    """One row a logged step: ``step``, ``time`` (fs), ``potential`` and ``kinetic`` (eV), ``temperature`` (K)."""

    step: np.ndarray
    time: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    temperature: np.ndarray
    num_atoms: int

    @classmethod
    def from_rows(cls, rows: list[tuple[float, ...]], num_atoms: int) -> EnergyLog:
        """Rows in the order of ``COLUMNS``."""
        table = np.array(rows, dtype=np.float64).reshape(-1, len(COLUMNS))
        return cls(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3], table[:, 5], num_atoms)

    @property
    def total(self) -> np.ndarray:
        """Potential and kinetic energy, eV."""
        return self.potential + self.kinetic

    @property
    def drift(self) -> float:
        """Slope of the total energy by least squares, meV/atom/ps; 0 where there are fewer than three rows."""
        return self._line()[0] * 1e6 / self.num_atoms

    @property
    def fluctuation(self) -> float:
        """RMS deviation of the total energy from that line, meV/atom."""
        slope, start = self._line()
        residual = self.total - (start + slope * self.time)
        return float(np.sqrt(np.mean(residual**2))) * 1e3 / self.num_atoms if len(residual) else 0.0

    def _line(self) -> tuple[float, float]:
        """Slope in eV/fs and value at time 0 in eV."""
        if len(self.time) == 0:
            return 0.0, 0.0
        time, total = self.time - self.time.mean(), self.total - self.total.mean()
        slope = float(time @ total / (time @ time)) if len(time) > 2 else 0.0
        return slope, float(self.total.mean() - slope * self.time.mean())

    def plot(self, path: str | os.PathLike[str], title: str) -> None:
        """Draw total energy and temperature over time to an image file; drift and RMS stand in the title."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        path = Path(path)
        figure = Figure(figsize=(7.5, 6.0), layout="constrained")
        FigureCanvasAgg(figure)
        energy, temperature = figure.subplots(2, 1, sharex=True)
        time = self.time / 1000
        scale = 1000 / self.num_atoms
        start = self.total[0] if len(self.total) else 0.0
        slope, intercept = self._line()
        energy.plot(time, (self.total - start) * scale, lw=0.8, label="total energy")
        line = (intercept + slope * self.time - start) * scale
        energy.plot(time, line, "--", color="black", lw=1, label="least squares")
        energy.set_ylabel("E(t) - E(0) (meV/atom)")
        energy.legend(loc="best", frameon=False)
        temperature.plot(time, self.temperature, lw=0.8, color="tab:red")
        temperature.axhline(self.temperature.mean() if len(time) else 0.0, color="black", lw=1, ls="--")
        temperature.set_ylabel("temperature (K)")
        temperature.set_xlabel("time (ps)")
        figure.suptitle(f"{title}\ndrift {self.drift:+.3g} meV/atom/ps, RMS {self.fluctuation:.3g} meV/atom, "
                        f"mean {self.temperature.mean() if len(time) else 0.0:.0f} K")
        with written_aside(path) as aside:
            figure.savefig(aside, dpi=150, format=path.suffix.lstrip(".") or "png")


def append_row(path: Path, row: tuple[float, ...]) -> None:
    """Append a row to a CSV table, with the heading first where the table is new."""
    new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        writer.writerow([int(row[0]), *(repr(float(value)) for value in row[1:])])


def read_rows(path: Path, num_rows: int) -> list[tuple[float, ...]]:
    """The first rows of such a table; a ValueError where there are fewer."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
        if not lines or tuple(lines[0]) != COLUMNS:
            raise ValueError("its heading is not the one that a simulation writes")
        rows = [tuple(float(value) for value in line) for line in lines[1 : num_rows + 1]]
        if len(rows) < num_rows or any(len(row) != len(COLUMNS) for row in rows):
            raise ValueError(f"it has fewer than {num_rows} whole rows")
    except (OSError, ValueError) as error:
        raise ValueError(f"the table of energies `{path}` cannot be continued: {error}") from error
    return rows


def write_rows(path: Path, rows: list[tuple[float, ...]]) -> None:
    """Write a table anew, aside first and then renamed."""
    with written_aside(path) as aside:
        with open(aside, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(COLUMNS)
        for row in rows:
            append_row(aside, row)
