"""``mlff``: the group of commands.

A command's module is imported when the command runs, so ``mlff --help`` imports neither torch nor ASE. What a user
can do wrong ends in one sentence and exit code 2; ``MLFF_DEBUG=1`` shows the traceback instead.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from mlff import __version__
from mlff.cli.group import LazyGroup

COMMANDS = {
    "data": ("mlff.cli.data", "Import trajectories, look into a data file, split it."),
    "label": ("mlff.cli.label", "Compute energies and forces with any ASE calculator."),
    "train": ("mlff.cli.train", "Train a potential, or resume a run."),
    "pretrain": ("mlff.cli.pretrain", "Pre-train a model by denoising, for `mlff train --init-from`."),
    "evaluate": ("mlff.cli.evaluate", "Measure a model's errors on a data file."),
    "optimize": ("mlff.cli.optimize", "Relax a structure to its nearest minimum."),
    "md": ("mlff.cli.md", "Run molecular dynamics."),
    "vibrations": ("mlff.cli.vibrations", "Compute harmonic frequencies and normal modes."),
    "namd": ("mlff.cli.namd", "Run surface hopping between electronic states, and analyse it."),
    "select": ("mlff.cli.select", "Pick the structures to label next, where a committee disagrees."),
    "convert": ("mlff.cli.convert", "Take over a model that MACE, NequIP or Allegro trained."),
    "compile": ("mlff.cli.compile", "Compile a model for fast energies and forces on this machine."),
    "export": ("mlff.cli.export", "Write a model as a program that torch runs without mlff."),
    "models": ("mlff.cli.models", "List the trained models that come with the package."),
    "benchmark": ("mlff.cli.benchmark", "Measure speed, memory, growth and accuracy."),
}
"""Name -> (module whose ``command`` it is, line in ``mlff --help``)."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


class UserError(click.ClickException):
    """One sentence for the user, exit code 2."""

    exit_code = 2


class Commands(LazyGroup):
    """The commands; what a user can do wrong ends in a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        with plain_warnings():
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt:
                click.echo("\nInterrupted.", err=True)
                ctx.exit(INTERRUPTED)
            except click.ClickException as error:
                raise error if isinstance(error, click.UsageError) else UserError(error.format_message()) from error
            except Exception as error:
                sentence = user_sentence(error)
                if sentence is None or os.environ.get("MLFF_DEBUG"):
                    raise
                raise UserError(sentence) from error


def user_sentence(error: Exception) -> str | None:
    """What to tell the user about an error that is theirs to mend; None where it is ours."""
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if type(error).__module__.startswith("pydantic"):
        return "; ".join(
            ".".join(map(str, item["loc"])) + ": " + item["msg"].removeprefix("Value error, ")
            for item in error.errors()  # type: ignore[attr-defined]
        )
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)  # torch has no class for it
    if on_cpu or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        wanted = one_line(error).rpartition("DefaultCPUAllocator: ")[2].partition(". Error code")[0]
        return f"out of memory ({wanted}); use smaller batches, fewer atoms or a smaller model"
    ours = type(error).__module__.split(".")[0] == "mlff"
    missing_package = isinstance(error, ImportError) and "pip install" in str(error)
    if ours or missing_package or isinstance(error, ValueError | OSError):
        return one_line(error)
    return None


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def let_idle_threads_sleep() -> None:
    """Make OpenMP threads that wait for others sleep after microseconds instead of milliseconds.

    Must come before torch is imported. Where another program wants the same cores, threads that spin keep those from
    running that they wait for: PaiNN's training on two busy cores went from 1.4 to above 20 frames/s with this.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings as one line without the place in the source, while a command runs."""

    def plain(message: Warning | str, *_: Any, **__: Any) -> str:
        return f"Warning: {' '.join(str(message).split())}\n"

    before = warnings.formatwarning
    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = before


@click.group(cls=Commands, commands_in=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mlff", message="%(prog)s %(version)s")
def main() -> None:
    """Machine-learned force fields: from trajectories to a trained potential to simulations.

    \b
    mlff data import traj.xyz -o data.h5 && mlff data split data.h5 --by time
    mlff train --data data.h5 --model painn --out runs/painn
    mlff evaluate runs/painn data.h5
    mlff md runs/painn molecule.xyz

    `mlff COMMAND --help` tells about one command. MODEL is a run folder, a checkpoint, or a name that `mlff models`
    lists. MLFF_DEBUG=1 in the environment shows the traceback of an error.
    """
    let_idle_threads_sleep()


if __name__ == "__main__":
    sys.exit(main())
