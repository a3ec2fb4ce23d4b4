"""What a person sees while a run goes on: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

Row = Mapping[str, float | int | None]

COLUMNS = (
    ("epoch", "epoch", "{:.0f}"), ("train_loss", "loss", "{:.5f}"), ("val_energy_mae_meV", "val E meV", "{:.1f}"),
    ("val_forces_mae_meV_per_A", "val F meV/Å", "{:.1f}"), ("learning_rate", "rate", "{:.1e}"),
    ("frames_per_second", "frames/s", "{:.1f}"),
)  # fmt: skip
SHOWN_EPOCHS = 12
PLAIN_SECONDS = 60.0
"""Without a terminal a long epoch says this often that it is alive."""


class Display:
    """Prints plain lines; `LiveDisplay` draws instead. On processes other than the first nothing is shown."""

    def __init__(self, console: Console, *, silent: bool = False) -> None:
        self.console = console
        self.silent = silent
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether `update` would show something now, so that its arguments are worth computing."""
        return not self.silent and time.monotonic() - self._last >= PLAIN_SECONDS

    def start(self, epochs: int) -> None:
        """Begin: `epochs` is the number that the run may have at most."""
        self._line("".join(f"{title:>12}" for _, title, _ in COLUMNS) + f"{'left':>10}")

    def update(self, *, epoch: int, done: float, progress: float, loss: float, speed: float, left: float) -> None:
        """Within an epoch: `done` of it and `progress` of the run as fractions, frames/s, seconds left."""
        self._last = time.monotonic()
        self._line(f"{epoch:>12}{loss:>12.5f}{f'{100 * done:.0f} % of epoch':>36}{speed:>12.1f}{duration(left):>10}")

    def epoch(self, row: Row, *, best: bool, left: float) -> None:
        """After an epoch: its row of ``metrics.csv`` and whether it is the best so far."""
        self._last = time.monotonic()
        self._line("".join(f"{cell:>12}" for cell in cells(row)) + f"{duration(left):>10}" + (" best" if best else ""))

    def message(self, text: str) -> None:
        """A line of text."""
        self._line(text)

    def stop(self) -> None:
        """End the display; what follows is printed below it."""

    def _line(self, text: str) -> None:
        if not self.silent:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)


class LiveDisplay(Display):
    """A table of the last epochs above a bar for the run, redrawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._rows: list[tuple[Row, bool]] = []
        self._status = Text("preparing the first batch")
        self._bar = ProgressBar(total=1.0, completed=0.0, width=60)
        self._epochs = 0
        self._live = Live(console=console, refresh_per_second=4, transient=False)

    def due(self) -> bool:
        return time.monotonic() - self._last >= 0.25

    def start(self, epochs: int) -> None:
        self._epochs = epochs
        self._live.start()
        self._draw()

    def update(self, *, epoch: int, done: float, progress: float, loss: float, speed: float, left: float) -> None:
        self._last = time.monotonic()
        self._bar.update(completed=progress)
        self._status = Text(f"epoch {epoch} of at most {self._epochs} ({100 * done:.0f} %)   loss {loss:.5f}   "
                            f"{speed:.1f} frames/s   {duration(left)} left")
        self._draw()

    def epoch(self, row: Row, *, best: bool, left: float) -> None:
        self._rows.append((row, best))
        self._draw()

    def message(self, text: str) -> None:
        self._live.console.print(text, highlight=False, markup=False)

    def stop(self) -> None:
        self._live.stop()

    def _draw(self) -> None:
        table = Table(box=None, pad_edge=False)
        for _, title, _ in COLUMNS:
            table.add_column(title, justify="right")
        table.add_column("")
        for row, best in self._rows[-SHOWN_EPOCHS:]:
            table.add_row(*cells(row), "best" if best else "", style="bold" if best else "")
        below = Table.grid()
        below.add_row(self._bar)
        below.add_row(self._status)
        self._live.update(Group(table, below))


def make_display(console: Console | None = None, *, silent: bool = False) -> Display:
    """The display that suits where the output goes."""
    console = console or Console()
    return LiveDisplay(console) if console.is_terminal and not silent else Display(console, silent=silent)


def cells(row: Row) -> list[str]:
    """The shown columns of a row as text."""
    values = ((row.get(name), form) for name, _, form in COLUMNS)
    return ["-" if value is None else form.format(value) for value, form in values]


def duration(seconds: float) -> str:
    """Seconds as 45s, 12m30s or 3h05m."""
    minutes, rest = divmod(int(round(max(seconds, 0.0))), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


@contextmanager
def counting_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal (nothing elsewhere) and the function that moves it on by a number of things done."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)
