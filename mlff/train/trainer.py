"""``train``: from a configuration to a finished run folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from rich.console import Console

from mlff.potential.potential import Potential, PotentialConfig
from mlff.potential.pretrained import list_models
from mlff.train import snapshot
from mlff.train.clock import CLOCKS
from mlff.train.config import TrainConfig
from mlff.train.electronic import learned_lines
from mlff.train.finish import RunResult, finish
from mlff.train.initial import begin_from, freeze
from mlff.train.loop import INTERRUPTED, Trainer
from mlff.train.neighbors import geometry_note
from mlff.train.prepare import build_potential, prepare_data
from mlff.train.progress import make_display
from mlff.train.run_folder import RunFolder
from mlff.train.state import load_state

DTYPES = {"32-true": torch.float32, "64-true": torch.float64, "bf16-mixed": torch.float32}


def train(config: TrainConfig, *, resume: bool = False, console: Console | None = None) -> RunResult:
    """Train a potential; everything that is known of the run goes into the folder ``config.out``.

    With several processes only the first returns a result with metrics; the others do no more than train.

    Args:
        config: what to train, on what and how.
        resume: go on with the run in the folder (`mlff.train.run_folder.resume_config` reads its configuration).
        console: where progress is shown; standard output by default.

    Raises:
        ValueError: data or settings that cannot work, a folder that holds something else, a run that diverged.
    """
    started = CLOCKS[config.clock]()
    if config.out is None:
        raise ValueError("no folder to write the run to was given; set `out` (--out RUN)")
    folder = RunFolder(config.out)
    first = not _launched_by_another()
    data = prepare_data(config.data, config.loss)
    saved = load_state(folder.state) if resume else None
    if saved is not None and saved[1]["data"] != data.fingerprint:
        raise ValueError(f"the data in `{data.dataset.files}` are not those that the run began with (other frames, split or "
                         f"energies); resume with the same data, or begin a new run with --out")
    fabric = make_fabric(config)
    if not resume and first:
        folder.check_new()
    fabric.launch()
    console = console or Console()
    messages = [data.filtering.message]
    with process_settings(config, fabric.device):
        if saved is None:
            with warnings.catch_warnings(action=None if first else "ignore"):
                potential = build_potential(config, data, DTYPES[config.precision])
                if config.init_from is not None:
                    potential, told = begin_from(config, data, potential)
                    messages += told
        else:
            potential = Potential(PotentialConfig.model_validate(saved[1]["potential"])).to(DTYPES[config.precision])
        messages.append(freeze(potential, config.freeze))
        messages.append(geometry_note(potential, data.dataset, data.train))
        display = make_display(console, silent=not fabric.is_global_zero)
        trainer = Trainer(config, data, potential, fabric, folder, display, fresh=saved is None, started=started)
        for message in filter(None, [*messages, *learned_lines(potential.config, trainer.loader.pairs, data)]):
            display.message(message)
        if saved is not None:
            snapshot.restore(trainer, *saved)
            if (done := trainer.stop_reason()) and folder.has_results():
                display.message(f"Nothing is left to train in {folder.path}: {done}. Give a larger --epochs or --max-time "
                                f"for more.")
                return RunResult(folder.path, done, trainer.best_epoch, {})
        if fabric.is_global_zero:
            folder.write_config(portable(config))
            if trainer.stop_reason() is None:
                folder.forget_results()
        reason = trainer.fit()
        if reason == INTERRUPTED or not fabric.is_global_zero:
            return RunResult(folder.path, reason, trainer.best_epoch, {})
        return finish(trainer, reason, console)


def make_fabric(config: TrainConfig) -> Fabric:
    """Devices, processes and precision as the configuration has them."""
    if config.accelerator == "cuda" and not torch.cuda.is_available():
        raise ValueError("`accelerator` is `cuda`, but torch finds no NVIDIA GPU here; use `accelerator=cpu`, or install a "
                         "build of torch for CUDA")
    accelerator = config.accelerator if config.accelerator != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    available = torch.cuda.device_count() if accelerator == "cuda" else None
    devices = (available or 1) if config.devices == "auto" else config.devices
    if available is not None and devices > available:
        raise ValueError(f"`devices` is {devices}, but there are {available} GPUs; use `devices=auto` for all of them")
    strategy = "ddp" if devices * config.num_nodes > 1 else "auto"
    return Fabric(
        accelerator=accelerator, devices=devices, num_nodes=config.num_nodes, strategy=strategy, precision=config.precision
    )


@contextmanager
def process_settings(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Threads, tf32 and the seed for the time of a run; afterwards torch is as it was."""
    threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            torch.manual_seed(config.seed)
            if config.num_threads is not None:
                torch.set_num_threads(config.num_threads)
            if config.tf32:
                torch.set_float32_matmul_precision("high")
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(matmul)


def portable(config: TrainConfig) -> TrainConfig:
    """The configuration with absolute paths of data and ``init_from``, so that the run resumes from any working directory."""
    paths = tuple(os.path.abspath(path) if os.path.isfile(path) else path for path in config.data.paths)
    data = config.data.model_copy(update={"path": paths[0] if len(paths) == 1 else paths})
    named = config.init_from is None or config.init_from in list_models()
    init_from = config.init_from if named else os.path.abspath(str(config.init_from))
    return config.model_copy(update={"data": data, "init_from": init_from})


def _launched_by_another() -> bool:
    """Whether this is not the first process of the run, which alone looks after the folder."""
    return any(os.environ.get(name, "0") != "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
