"""The training loop, top to bottom: epochs of steps, each epoch ending in validation, records and a saved state."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from mlff.fast.ops import own_products
from mlff.fast.training import load_kernels
from mlff.potential.checkpoint import save_potential
from mlff.potential.potential import Potential
from mlff.train import snapshot
from mlff.train.clock import CLOCKS, MINUTES
from mlff.train.compiled import CompiledGradient
from mlff.train.config import TrainConfig
from mlff.train.divergence import DivergenceWatch, TrainingDiverged
from mlff.train.ema import MovingAverage
from mlff.train.gradients import FlatGradient, sum_over_processes
from mlff.train.loaders import epoch_batches
from mlff.train.logs import RunLogs
from mlff.train.loss import TERMS, loss_terms, value_counts, weighted_loss
from mlff.train.metrics import wants_stress
from mlff.train.optimizer import Optimizer
from mlff.train.prepare import RunData, centre_energies, make_loader, spread
from mlff.train.progress import Display
from mlff.train.run_folder import RunFolder
from mlff.train.schedule import Schedule
from mlff.train.signals import StopSignals
from mlff.train.state import save_state
from mlff.train.validation import ValidationErrors, validate

CONTROL_STEPS = 10
"""On GPUs and with several processes the clock, signals and the loss are looked at once in so many steps."""
INTERRUPTED = "interrupted"


class Trainer:
    """Weights, their average, the optimizer and the place in the data; ``fit`` moves them on."""

    def __init__(
        self, config: TrainConfig, data: RunData, potential: Potential, fabric: Fabric, folder: RunFolder, display: Display,
        *, fresh: bool, started: float,
    ) -> None:  # fmt: skip
        """`fresh`: the weights are new. `started`: when the run began, by the configuration's clock."""
        self.config, self.data, self.fabric, self.folder, self.display = config, data, fabric, folder, display
        self.potential = potential.to(fabric.device).train()
        self.loader = make_loader(config, data, potential, fabric.device)
        if fresh:
            centre_energies(self.potential, self.loader, data.train, trained=config.init_from is not None)
        self.ema = MovingAverage(self.potential, config.ema.decay, config.ema.warmup)
        self.gradient = FlatGradient(self.potential)
        kernels = config.compile and fabric.device.type == "cpu" and load_kernels() and own_products()
        self.optimizer = Optimizer(self.potential, config.optimizer, kernels=kernels)
        self.batches_per_epoch = math.ceil(len(data.train) / config.batch_size)
        self.max_seconds = None if config.max_time is None else 60.0 * config.max_time
        self.compiled = CompiledGradient(self.potential, config.loss) if config.compile else None
        self.schedule = Schedule(config.schedule, config.epochs * self.batches_per_epoch, self.max_seconds)
        self.watch = DivergenceWatch()
        self.signals = StopSignals()
        self.step = self.epoch = self.batch = 0
        self.best_loss, self.best_epoch, self.bad_epochs = math.inf, 0, 0
        self.best_weights: dict[str, Tensor] = {}
        self.now = CLOCKS[config.clock]
        self.started, self.earlier, self.clock = started, 0.0, 0.0
        self.epoch_seconds = self.train_seconds = 0.0
        zeros = torch.zeros(2 + 2 * len(TERMS), dtype=torch.float64, device=fabric.device)
        self.sums = zeros
        """Of this epoch on this process: loss, steps, absolute errors of ``TERMS``, numbers of their values."""
        self.recent = zeros[:1].clone()
        """Loss of the steps since the last `_control`, summed."""
        self.recent_steps = 0

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self.earlier + self.now() - self.started

    @property
    def seconds_left(self) -> float:
        """Estimated from how much of the run is done."""
        progress = self.schedule.progress(self.step, self.elapsed)
        return self.elapsed * (1 - progress) / max(progress, 1e-9)

    def stop_reason(self) -> str | None:
        """Why there is nothing left to train; None where there is."""
        patience = self.config.early_stopping.patience
        if self.epoch >= self.config.epochs:
            return f"all {self.config.epochs} epochs done"
        if patience is not None and self.bad_epochs >= patience:
            return f"no better validation loss for {self.bad_epochs} epochs"
        if self.max_seconds is not None and self.clock >= self.max_seconds:
            return f"time limit of {self.config.max_time:g} {MINUTES[self.config.clock]} reached"
        return None

    def fit(self) -> str:
        """Train until something says stop, and return what: validation, records and state after every epoch."""
        logs = None
        if self.fabric.is_global_zero:
            logs = RunLogs(self.folder.metrics, self.folder.tensorboard, completed_epochs=self.epoch, step=self.step)
        self.display.start(self.config.epochs)
        try:
            with self.signals:
                reason = self.stop_reason()
                while reason is None:
                    reason = self._train_epoch()
                    if self.batch > 0 and reason != INTERRUPTED:
                        self._end_epoch(logs)
                        reason = reason or self.stop_reason()
                    self._save_state()
            return reason
        finally:
            self.display.stop()
            if logs is not None:
                logs.close()

    def _train_epoch(self) -> str | None:
        """The rest of the epoch; where it must be left early the reason, with ``batch`` at the first batch not done."""
        batches = epoch_batches(self.data.train, self.config.batch_size, self.config.seed, self.epoch)
        began = self.now() - self.epoch_seconds
        plain = self.fabric.world_size == 1 and self.fabric.device.type == "cpu"
        control_steps = 1 if plain else CONTROL_STEPS
        for indices in batches[self.batch :]:
            if self.batch % control_steps == 0 and (reason := self._control()):
                return reason
            self._train_step(indices)
            self.batch, self.step = self.batch + 1, self.step + 1
            before, self.epoch_seconds = self.epoch_seconds, self.now() - began
            self.train_seconds += self.epoch_seconds - before
            if self.display.due():
                self.display.update(
                    epoch=self.epoch + 1, done=self.batch / len(batches), left=self.seconds_left, speed=self._speed(),
                    progress=self.schedule.progress(self.step, self.elapsed), loss=float(self.sums[0] / self.sums[1]),
                )  # fmt: skip
        return None

    def _train_step(self, indices: np.ndarray) -> None:
        """One step on a global batch, of which each process computes its part."""
        config, fabric, pairs = self.config, self.fabric, self.loader.pairs
        factor = self.schedule.factor(self.step, self.clock)
        self.optimizer.learning_rate = config.optimizer.learning_rate * factor
        self.gradient.zero()
        part = indices[fabric.global_rank :: fabric.world_size]
        counts = self.sums.new_zeros(len(TERMS))
        if len(part):
            graph, targets = self.loader.load(part, self.epoch)
            forces, stress = config.loss.forces > 0, config.loss.stress > 0 and wants_stress(graph, targets)
            counts = value_counts(targets, forces=forces, stress=stress)
        all_counts = sum_over_processes(self.fabric, counts)
        if len(part):
            result = self.compiled and self.compiled(graph, targets, all_counts, forces=forces, stress=stress)
            if result:
                loss, absolute, gradients = result
                self.gradient.add(gradients)
            else:
                with self._autocast():
                    prediction = self.potential(
                        graph, forces=forces, stress=stress, couplings=pairs.coupling is not None,
                        properties=bool(pairs.dipole_pairs or pairs.soc_pairs),
                    )  # fmt: skip
                sums, absolute = loss_terms(prediction, targets, config.loss)
                loss = weighted_loss(sums, all_counts, config.loss)
                fabric.backward(loss)
            self.recent += loss.detach()
            self.sums += torch.cat((loss.detach()[None], loss.new_zeros(1), absolute, counts))
        self.sums[1] += 1
        self.recent_steps += 1
        self.gradient.sum_over_processes(fabric)
        self.gradient.clip(config.optimizer.clip_norm)
        self.optimizer.step()
        self.ema.update(self.step)

    def _control(self) -> str | None:
        """Agree between processes on the time (of the first) and on signals; look at the loss of the last steps."""
        elapsed = self.elapsed if self.fabric.is_global_zero else 0.0
        mine = torch.tensor([elapsed, float(self.signals.received)], dtype=torch.float64).to(self.recent.device)
        self.clock, signals, loss = sum_over_processes(self.fabric, torch.cat((mine, self.recent))).tolist()
        num_steps, self.recent_steps = self.recent_steps, 0
        self.recent.zero_()
        if num_steps and (problem := self.watch.problem(loss / num_steps, num_steps)):
            raise self._diverged(problem)
        if signals:
            return INTERRUPTED
        return self.stop_reason() if self.step else None

    def _end_epoch(self, logs: RunLogs | None) -> None:
        """Validate the averaged weights, keep them where they are the best, and record the epoch."""
        sums = sum_over_processes(self.fabric, self.sums).cpu()
        train_loss = float(sums[0] / sums[1]) * self.fabric.world_size
        val = spread(self.data.val, self.config.data.validation_frames)
        errors = validate(self.ema.averaged, self.loader, val, 2 * self.config.batch_size, self.config.loss, self.fabric)
        if not math.isfinite(train_loss + errors.loss):
            raise self._diverged(f"the loss became {train_loss} and that of validation {errors.loss}")
        best = errors.loss < self.best_loss
        if best:
            self.best_loss, self.best_epoch = errors.loss, self.epoch + 1
            self.best_weights = {name: tensor.clone() for name, tensor in self.ema.averaged.state_dict().items()}
            if self.fabric.is_global_zero:
                self._save_model(errors)
        mae = [1000.0 * float(error / count) if count else None for error, count in zip(sums[2:4], sums[2 + len(TERMS) :])]
        row = {
            "epoch": self.epoch + 1, "step": self.step, "time_s": round(self.elapsed, 3),
            "learning_rate": self.optimizer.learning_rate, "train_loss": train_loss,
            "train_energy_mae_meV": mae[0], "train_forces_mae_meV_per_A": mae[1], **errors.row(),
            "frames_per_second": round(self._speed(), 3),
        }  # fmt: skip
        if logs is not None:
            logs.add(row)
        if self.batch == self.batches_per_epoch:
            self.bad_epochs = 0 if best else self.bad_epochs + 1
            self.schedule.after_validation(errors.loss)
            self.epoch, self.batch, self.epoch_seconds = self.epoch + 1, 0, 0.0
            self.sums.zero_()
            self.recent.zero_()
            self.recent_steps = 0
        self.clock = self.fabric.broadcast(self.elapsed)
        self.display.epoch(row, best=best, left=0.0 if self.stop_reason() else self.seconds_left)

    def _speed(self) -> float:
        """Frames a second in this epoch, without validation."""
        frames = min(self.batch * self.config.batch_size, len(self.data.train))
        return frames / self.epoch_seconds if self.epoch_seconds else 0.0

    def _autocast(self) -> AbstractContextManager[Any]:
        return self.fabric.autocast() if self.config.precision == "bf16-mixed" else nullcontext()

    def _diverged(self, problem: str) -> TrainingDiverged:
        kept = (f"The best model so far (epoch {self.best_epoch}) is in `{self.folder.model}`" if self.best_epoch
                else "No epoch was completed, so there is no model")
        return TrainingDiverged(
            f"training diverged in epoch {self.epoch + 1} (step {self.step}): {problem}. {kept}. Begin again in another "
            f"folder with a lower optimizer.learning_rate (it is {self.config.optimizer.learning_rate:g}), a longer "
            f"schedule.warmup_steps or a smaller optimizer.clip_norm, and look for wrong frames with `mlff data info`"
        )

    def _save_model(self, errors: ValidationErrors) -> None:
        config = self.config
        begun = {} if config.init_from is None else {"init_from": config.init_from, "freeze": list(config.freeze)}
        save_potential(self.ema.averaged, self.folder.model, extra=self.data.description | begun | {
            "best_epoch": self.best_epoch, "validation": errors.row()
        })  # fmt: skip

    def _save_state(self) -> None:
        tensors, document = snapshot.take(self)
        if self.fabric.is_global_zero:
            save_state(self.folder.state, tensors, document)
