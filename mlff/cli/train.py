"""``mlff train``: train a potential, or go on with a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlff.cli.states import MEANING, METAVAR

if TYPE_CHECKING:
    from mlff.train.finish import RunResult


@click.command(name="train")
@click.argument("config", required=False, metavar="[CONFIG.yaml]")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--data", multiple=True, metavar="FILE.h5",
    help="Data file, or `azobenzene`, `chno` or `ch2nh2` inside the package; several (--data A.h5 --data B.h5) are one.",
)  # fmt: skip
@click.option("--split", metavar="NAME", help="Split of the data to train, validate and test on.")
@click.option(
    "--states", metavar=METAVAR, help=f"Electronic states to learn: {MEANING}; all by default.",
)  # fmt: skip
@click.option(
    "--nac", is_flag=False, flag_value="interstate", default=None, metavar="[interstate|direct]",
    help="Learn couplings between states: as interstate couplings (the default of --nac), or nonadiabatic ones directly.",
)  # fmt: skip
@click.option("--diabatic", is_flag=True, help="Energies as eigenvalues of a matrix, which has crossings and couplings.")
@click.option("--dipoles", is_flag=True, help="Learn the dipoles of states and of transitions.")
@click.option("--soc", is_flag=True, help="Learn the magnitudes of spin-orbit couplings.")
@click.option(
    "--model", metavar="NAME",
    help="Architecture: egnn, et, gvp, painn (the default), schnet, tensornet or visnet; mace, nequip, allegro or dimenet++ of "
    "other packages; gcn, mpnn or graph-transformer, which know bonds alone and learn energies without forces.",
)  # fmt: skip
@click.option("--out", metavar="RUN", help="Folder to write the run to.")
@click.option("--epochs", metavar="N", help="Epochs at most.")
@click.option("--batch-size", metavar="N", help="Frames a step.")
@click.option("--max-time", metavar="MINUTES", help="Stop after this time, with the learning-rate schedule at its end.")
@click.option("--seed", metavar="N", help="Fixes the first weights and the order of the frames.")
@click.option(
    "--init-from", metavar="MODEL",
    help="Begin with the weights of this model (run folder, checkpoint or shipped name), which gives the architecture, too.",
)  # fmt: skip
@click.option(
    "--freeze", multiple=True, metavar="NAME",
    help="With --init-from: keep the parameters whose names begin so (model.embedding, head) as they are; can be repeated.",
)  # fmt: skip
@click.option("--resume", metavar="RUN", help="Go on with the run, or the committee, in this folder.")
@click.option(
    "--committee", type=click.IntRange(min=2), metavar="N",
    help="Train N times, with seeds from --seed on, into RUN/member-0, ...; each takes --max-time.",
)  # fmt: skip
def command(
    config: str | None, overrides: tuple[str, ...], resume: str | None, committee: int | None, **options: Any
) -> None:
    """Train a potential on a data file, or resume a run.

    \b
    mlff train --data data.h5 --model painn --out runs/painn
    mlff train config.yaml optimizer.learning_rate=5e-4 model.num_features=64
    mlff train --data a.h5 --data b.h5 data.filter.gap=0,1,0.5 --out runs/crossing
    mlff train --data ch2nh2.h5 --states 3 --nac --out runs/ch2nh2
    mlff train --data chno --model gcn data.filter.max_force=0.05 --out runs/gcn
    mlff train --data data.h5 --out runs/four --committee 4
    mlff train --data mine.h5 --init-from azobenzene-painn --out runs/tuned
    mlff train --resume runs/painn --max-time 120

    Every key of the configuration can be set as KEY=VALUE; the options above are short for the most used ones. The keys
    with their defaults are written to RUN/config.yaml. Ctrl-C stops between two steps, and --resume goes on exactly
    from there.
    """
    from mlff.train.committee import is_committee, resume_committee, train_committee
    from mlff.train.config import TrainConfig, read_yaml
    from mlff.train.run_folder import resume_config
    from mlff.train.trainer import train

    config, overrides = config_and_overrides(config, overrides)
    changes = each_once([*overrides, *named_overrides(options)])
    if resume is not None:
        if config is not None:
            raise ValueError(f"--resume takes its configuration from the run; leave `{config}` out")
        if committee is not None:
            raise ValueError("--resume goes on with as many members as the committee has; leave --committee out")
        if is_committee(resume):
            told(resume_committee(resume, changes), resume)
            return
        run_config = resume_config(resume, changes)
    else:
        if config is None and not options["data"] and not any(each.startswith("data") for each in overrides):
            raise ValueError("nothing to train on was given: name a configuration file, or a data file with --data FILE.h5 "
                             "(`--data azobenzene` is the set inside the package)")
        run_config = TrainConfig.build(read_yaml(config) if config is not None else {}, changes)
        if run_config.out is None:
            raise ValueError("no folder to write the run to was given; name one with --out RUN")
    if committee is not None:
        told(train_committee(run_config, committee), str(run_config.out))
    else:
        result = train(run_config, resume=resume is not None)
        told([result], str(result.folder))


def told(results: list[RunResult], folder: str) -> None:
    """End with exit code 130 and the command that goes on, where the training was interrupted."""
    if results and results[-1].stop_reason == "interrupted":
        click.echo(f"Interrupted; go on with: mlff train --resume {folder}")
        raise SystemExit(130)


def config_and_overrides(config: str | None, overrides: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The configuration file, where the first word is one, and the words that are ``KEY=VALUE``."""
    if config is not None and "=" in config and not Path(config).is_file():
        return None, (config, *overrides)
    return config, overrides


def each_once(changes: list[str]) -> list[str]:
    """The same ``KEY=VALUE``, after a look that no key is there twice."""
    keys = [change.partition("=")[0].strip() for change in changes]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"`{twice[0]}` is given twice on the command line; give it once")
    return changes


def named_overrides(options: dict[str, Any]) -> list[str]:
    """The named options as ``KEY=VALUE``, texts quoted as YAML wants them."""
    keys = {
        "split": "data.split", "states": "data.states", "model": "model", "out": "out", "init_from": "init_from",
        "nac": "potential.couplings",
    }  # fmt: skip
    texts = {key: _quoted(options[name]) for name, key in keys.items() if options.get(name) is not None}
    if options.get("freeze"):
        texts["freeze"] = f"[{', '.join(_quoted(name) for name in options['freeze'])}]"
    if options["data"]:
        texts["data.path"] = f"[{', '.join(_quoted(path) for path in options['data'])}]"
    if options.get("diabatic"):
        texts["potential.surfaces"] = "diabatic"
    texts |= {f"potential.{name}": "true" for name in ("dipoles", "soc") if options.get(name)}
    numbers = {name: options[name] for name in ("epochs", "batch_size", "max_time", "seed") if options[name] is not None}
    return [f"{key}={value}" for key, value in (texts | numbers).items()]


def _quoted(text: str) -> str:
    """A text as YAML reads it back unchanged."""
    return "'" + text.replace("'", "''") + "'"
