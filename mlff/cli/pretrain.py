"""``mlff pretrain``: pre-train a model by denoising, for ``mlff train --init-from``."""

from __future__ import annotations

from typing import Any

import click

DEFAULTS: dict[str, Any] = {
    "data": {"path": "chno", "noise": 0.05, "filter": {"max_force": 0.1}},
    "loss": {"energy": 0.0, "forces": 1.0, "kind": "mse"},  # squared errors find the mean of the noise
}
"""What differs from the defaults of training, below what the user's file and options say."""


@click.command(name="pretrain")
@click.argument("config", required=False, metavar="[CONFIG.yaml]")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--data", multiple=True, metavar="FILE.h5",
    help="Data file with relaxed structures; `chno`, small molecules inside the package, by default.",
)  # fmt: skip
@click.option("--split", metavar="NAME", help="Split of the data to train, validate and test on.")
@click.option("--noise", metavar="SIGMA", help="Standard deviation of the noise on each coordinate, Å; 0.05 by default.")
@click.option(
    "--max-force", metavar="FMAX",
    help="Relaxed are frames with no longer force on an atom, eV/Å; 0.1 by default. `null` takes all frames, forces or not.",
)  # fmt: skip
@click.option(
    "--model", metavar="NAME",
    help="Architecture: egnn, et, gvp, painn (the default), schnet, tensornet or visnet; mace, nequip, allegro or dimenet++ of "
    "other packages.",
)  # fmt: skip
@click.option("--out", metavar="RUN", help="Folder to write the run to.")
@click.option("--epochs", metavar="N", help="Epochs at most.")
@click.option("--batch-size", metavar="N", help="Frames a step.")
@click.option("--max-time", metavar="MINUTES", help="Stop after this time, with the learning-rate schedule at its end.")
@click.option("--seed", metavar="N", help="Fixes the first weights, the order of the frames and the noise.")
def command(
    config: str | None, overrides: tuple[str, ...], noise: str | None, max_force: str | None, **options: Any
) -> None:
    """Pre-train a model by denoising: it learns to find the noise on relaxed structures.

    \b
    mlff pretrain --model painn --out runs/pretrained --max-time 30
    mlff pretrain --data relaxed.h5 --noise 0.03 --out runs/pretrained model.num_features=64
    mlff train --data data.h5 --init-from runs/pretrained --out runs/tuned

    No energies or forces are learned, so what comes out is a beginning for `mlff train --init-from` and no force field yet.
    Everything else is as in `mlff train`, and `mlff train --resume RUN` goes on after an interruption.
    """
    from mlff.cli.train import config_and_overrides, each_once, named_overrides, told
    from mlff.train.config import TrainConfig, read_yaml
    from mlff.train.trainer import train

    own = {"data.noise": noise, "data.filter.max_force": max_force}
    config, overrides = config_and_overrides(config, overrides)
    given = [f"{key}={value}" for key, value in own.items() if value is not None]
    changes = each_once([*overrides, *named_overrides(options), *given])
    run_config = TrainConfig.build(_over(DEFAULTS, read_yaml(config) if config is not None else {}), changes)
    if run_config.out is None:
        raise ValueError("no folder to write the run to was given; name one with --out RUN")
    if run_config.data.noise is None:
        raise ValueError("`data.noise` is null, so there would be no noise to find; give its standard deviation in Å with "
                         "--noise, or use `mlff train`")
    result = train(run_config)
    told([result], str(result.folder))


def _over(defaults: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Nested values, with defaults for keys that they do not have."""
    merged = {**defaults, **values}
    for key in defaults.keys() & values.keys():
        if isinstance(defaults[key], dict) and isinstance(values[key], dict):
            merged[key] = _over(defaults[key], values[key])
    return merged
