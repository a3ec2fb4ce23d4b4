"""The section `data` of the training configuration: which files, which split, which of its frames and states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, field_validator

from mlff.data.schema import LARGEST_INTEGER
from mlff.train.section import Section

EMBEDDED_DATA = "azobenzene"
"""The word for the data set inside the package (`mlff.datasets.EMBEDDED` has all) that is used where none is named."""


class FilterConfig(Section):
    """Which frames of the split to use: those that meet every criterion given (`HDF5Dataset.select`); all by default.

    A frame that lacks what a criterion asks about does not meet it. States are counted from 0 in the file's order.
    """

    system: tuple[str, ...] | None = None
    """Name of the system, or names."""
    trajectories: tuple[str, ...] | None = None
    """Name of the trajectory, or names."""
    time: tuple[float | None, float | None] | None = None
    """First and last time, fs; null for no end."""
    active_state: tuple[int, ...] | None = None
    """The active state, or any of several."""
    states: tuple[int, ...] | None = None
    """States whose energies must be known; `energy_window` and `max_force` look at these alone."""
    forces_of: tuple[int, ...] | None = None
    """States whose forces must be known."""
    gap: tuple[int, int, float] | None = None
    """Two states and the largest difference of their energies, eV."""
    energy_window: tuple[float | None, float | None] | None = None
    """Lowest and highest energy of any state, eV above the lowest energy of state 0 of the system; null for no end."""
    max_force: float | None = Field(None, ge=0)
    """Longest force on an atom in any state, eV/Å."""

    @field_validator("system", "trajectories", mode="before")
    @classmethod
    def _read_names(cls, value: Any) -> Any:
        several = [value] if isinstance(value, str | int | float) else value
        return [str(each) for each in several] if isinstance(several, Sequence) else several

    @field_validator("active_state", "states", "forces_of", mode="before")
    @classmethod
    def _read_states(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else split_text(value)

    @field_validator("gap", mode="before")
    @classmethod
    def _read_gap(cls, value: Any) -> Any:
        return _of_length(value, 3, "two states and the largest difference of their energies in eV, such as 0, 1, 0.5")

    @field_validator("time", mode="before")
    @classmethod
    def _read_time(cls, value: Any) -> Any:
        return _of_length(value, 2, "the first and the last time in fs, such as 0, 100 (null for no end)")

    @field_validator("energy_window", mode="before")
    @classmethod
    def _read_window(cls, value: Any) -> Any:
        return _of_length(value, 2, "the lowest and the highest energy in eV, such as 0, 10 (null for no end)")

    @property
    def criteria(self) -> dict[str, Any]:
        """The criteria that are given, as `HDF5Dataset.select` takes them."""
        return self.model_dump(exclude_none=True)


class DataConfig(Section):
    """What to learn from."""

    path: str | tuple[str, ...] = EMBEDDED_DATA
    """A native HDF5 file (`mlff data import` makes one), or the word ``azobenzene``, ``chno`` or ``ch2nh2`` for a set
    inside the package; or a list of files, which are used as one."""
    split: str | None = None
    """Name of the split, which each file must have; ``time``, ``given`` or the only one where it is left out."""
    filter: FilterConfig = FilterConfig()
    """Criteria for the frames of each part of the split, applied before they are counted out."""
    num_train: int | None = Field(None, ge=1)
    """Use this many training frames, evenly spaced through the split; all by default. Likewise the next two."""
    num_val: int | None = Field(None, ge=1)
    num_test: int | None = Field(None, ge=1)
    noise: float | None = Field(None, gt=0)
    """Pre-training by denoising (`mlff pretrain`): standard deviation, Å, of Gaussian noise on the coordinates, which is
    learned in place of energies and forces; null learns those."""
    states: tuple[int, ...] | None = None
    """Electronic states to learn, counted from 0 in the file's order; all by default. A number alone is how many, from the
    first: 3 is the same as [0, 1, 2]; [1] is state 1 alone."""
    validation_frames: int | None = Field(1000, ge=1)
    """Validate on at most this many frames of ``val`` (evenly spaced) after each epoch; the last evaluation uses all."""

    @field_validator("path", mode="before")
    @classmethod
    def _read_path(cls, value: Any) -> Any:
        paths = [value] if isinstance(value, str) else value
        if not isinstance(paths, list | tuple) or not paths or not all(isinstance(path, str) and path for path in paths):
            raise ValueError(f"must be the name of a data file, or a list of such names; got {value!r}")
        return paths[0] if len(paths) == 1 else tuple(paths)

    @field_validator("states", mode="before")
    @classmethod
    def _read_states(cls, value: Any) -> Any:
        return state_list(value)

    @field_validator("states")
    @classmethod
    def _check_states(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or len(set(value)) != len(value) or min(value) < 0):
            raise ValueError(f"must be different whole numbers from 0 on, such as 0,1; got {list(value)}")
        return value

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file."""
        return (self.path,) if isinstance(self.path, str) else self.path


def state_list(value: Any) -> Any:
    """States as given: ``3`` is the first three, ``0,2`` a list, ``1,`` (or a list of one) state 1 alone.

    Raises:
        ValueError: the number 0 alone, which is no number of states.
    """
    if isinstance(value, str) and "," not in value and value.strip().isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return split_text(value)
    if value < 1:
        raise ValueError(f"a number alone is how many states to take, from the first, and that cannot be {value}; write `0,` "
                         f"with a comma (in a file [0]) for state 0 alone")
    if value > LARGEST_INTEGER:
        raise ValueError(f"a number alone is how many states to take, from the first, and {value} are more than a file may "
                         f"have, which is {LARGEST_INTEGER}")
    return tuple(range(value))


def split_text(value: Any) -> Any:
    """The values of a text such as ``0,1``; anything else as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _of_length(value: Any, length: int, expected: str) -> Any:
    values = split_text(value)
    if isinstance(values, list | tuple) and len(values) == length:
        return tuple(None if each in ("null", "none", "None", "~") else each for each in values)
    if values is None:
        return None
    raise ValueError(f"must be {expected}; got {value!r}")
