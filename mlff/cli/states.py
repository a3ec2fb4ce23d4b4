"""``--states`` of the commands: the first N electronic states, or those of a list."""

from __future__ import annotations

METAVAR = "N|0,1,..."
MEANING = "the first N, or those of a list (`1,` is state 1 alone)"


def parse_states(text: str) -> list[int]:
    """The states that a text means, with the rule of ``data.states`` in training.

    Raises:
        ValueError: something else than such numbers, or the number 0 alone.
    """
    from mlff.train.data_config import state_list

    parts = [str(part) for part in state_list(text)]
    if not parts or not all(part.isdigit() for part in parts):
        raise ValueError(f"--states is {text!r}; write how many, from the first, such as 2, or a list from 0 on, such as 0,1")
    return [int(part) for part in parts]
