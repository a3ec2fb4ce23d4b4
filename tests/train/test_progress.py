"""What is shown while a run goes on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlff.train.progress import Display, LiveDisplay, duration, make_display

ROW = {
    "epoch": 3, "train_loss": 0.01234, "val_energy_mae_meV": 12.34, "val_forces_mae_meV_per_A": 45.67, "learning_rate": 1e-3,
    "frames_per_second": 99.9,
}  # fmt: skip


def show(display: Display) -> None:
    display.start(10)
    display.update(epoch=4, done=0.5, progress=0.35, loss=0.0123, speed=98.7, left=75)
    display.epoch(ROW, best=True, left=60)
    display.message("a message")
    display.stop()


def test_without_a_terminal_each_epoch_is_a_line():
    file = io.StringIO()
    show(make_display(Console(file=file, width=80)))
    header, _, epoch, message = file.getvalue().splitlines()
    assert header.split() == "epoch loss val E meV val F meV/Å rate frames/s left".split()
    assert epoch.split() == ["3", "0.01234", "12.3", "45.7", "1.0e-03", "99.9", "1m00s", "best"]
    assert message == "a message"


def test_on_a_terminal_a_table_and_a_bar_are_drawn():
    file = io.StringIO()
    display = make_display(Console(file=file, width=100, force_terminal=True))
    assert isinstance(display, LiveDisplay)
    show(display)
    shown = file.getvalue()
    for text in ("val F meV/Å", "45.7", "best", "epoch 4 of at most 10 (50 %)", "98.7 frames/s", "1m15s left", "━"):
        assert text in shown


def test_processes_beside_the_first_are_silent():
    file = io.StringIO()
    display = make_display(Console(file=file, force_terminal=True), silent=True)
    show(display)
    assert file.getvalue() == "" and not display.due()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59.6, "1m00s"), (750, "12m30s"), (11100, "3h05m"), (-3, "0s")])
def test_durations(seconds, text):
    assert duration(seconds) == text
