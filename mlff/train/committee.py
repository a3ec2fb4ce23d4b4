"""A committee: one configuration trained several times with different seeds, each member an ordinary run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import yaml
from rich.console import Console

from mlff.potential.committee import member_folder
from mlff.train.config import TrainConfig, read_yaml
from mlff.train.finish import RunResult
from mlff.train.loop import INTERRUPTED
from mlff.train.run_folder import RunFolder, as_written, resume_config
from mlff.train.state import replace_file
from mlff.train.trainer import portable, train

_FILE = "committee.yaml"


def train_committee(config: TrainConfig, members: int, *, console: Console | None = None) -> list[RunResult]:
    """Train so many members into ``config.out``/member-0, member-1, ..., with the seeds ``config.seed``, + 1, ...

    They learn from the same frames; first weights and the order of the frames differ. Time limits are those of a member. An
    interruption ends the training; `resume_committee` goes on.

    Returns:
        The results of the members that were trained, in order.

    Raises:
        ValueError: fewer than two members, no folder, or one that holds something already.
    """
    if members < 2:
        raise ValueError(f"a committee of {members} has no spread; give 2 members or more (4 is usual)")
    if config.out is None:
        raise ValueError("no folder to write the committee to was given; set `out` (--out RUN)")
    if config.devices not in (1, "auto") or config.num_nodes > 1:
        raise ValueError("the members of a committee are trained one after the other, each by one process; leave `devices` "
                         "and `num_nodes` at 1, or train the members as runs of their own")
    folder = RunFolder(config.out)
    folder.check_new()
    folder.path.mkdir(parents=True, exist_ok=True)
    stored = {"members": members, "config": portable(config).model_dump(mode="json")}
    replace_file(folder.path / _FILE, yaml.safe_dump(stored, sort_keys=False).encode())
    return _train_members(folder.path, config, members, (), console)


def is_committee(folder: str | os.PathLike[str]) -> bool:
    """Whether a committee is, or is being, trained in the folder."""
    return (Path(folder) / _FILE).is_file()


def resume_committee(
    folder: str | os.PathLike[str], overrides: Iterable[str] = (), *, console: Console | None = None
) -> list[RunResult]:
    """Go on with every member that is not at its end, and begin those that are missing.

    ``overrides`` may change what a resumed run may change.

    Raises:
        ValueError: the folder holds no committee, or an override of a key that must stay.
    """
    path = Path(folder)
    if not is_committee(path):
        raise ValueError(f"there is no committee to resume in `{folder}`: it has no {_FILE}; give the folder that `mlff train "
                         f"--committee` wrote")
    stored = read_yaml(path / _FILE)
    overrides = tuple(overrides)
    config = TrainConfig.build(as_written(stored["config"]), overrides)
    return _train_members(path, config, int(stored["members"]), overrides, console)


def _train_members(
    path: Path, config: TrainConfig, members: int, overrides: tuple[str, ...], console: Console | None
) -> list[RunResult]:
    console = console or Console()
    results = []
    for number in range(members):
        folder = RunFolder(member_folder(path, number))
        console.print(f"Member {number} of {members}, seed {config.seed + number}", highlight=False)
        if folder.config.is_file():
            result = train(resume_config(folder.path, overrides), resume=True, console=console)
        else:
            update = {"seed": config.seed + number, "out": str(folder.path)}
            result = train(config.model_copy(update=update), console=console)
        results.append(result)
        if result.stop_reason == INTERRUPTED:
            return results
    console.print(
        f"A committee of {members} is in {path}. Its mean and spread: CommitteeCalculator({str(path)!r}) in Python, "
        f"mlff evaluate, optimize and md with {path} as the model.", highlight=False, markup=False, soft_wrap=True
    )  # fmt: skip
    return results
