"""The clocks that a run's time limit and its records can be kept by."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

Clock = Literal["wall", "processor"]

CLOCKS: dict[Clock, Callable[[], float]] = {"wall": time.monotonic, "processor": time.process_time}
"""Seconds since some moment: as they pass, or as the processor works for all threads of this process."""
SECONDS_KEY: dict[Clock, str] = {"wall": "wall_time_s", "processor": "processor_time_s"}
"""What the time of a run is called in ``summary.json``."""
MINUTES: dict[Clock, str] = {"wall": "minutes", "processor": "processor minutes"}
"""What a minute is called in sentences."""
