"""The peers that speed is compared with, and what of mlff each of them meets."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAME_WEIGHTS = "same weights"
SHIPPED = {"azobenzene-painn": "painn:num_features=64", "azobenzene-tensornet": "tensornet:num_features=64"}
"""Trained models whose errors are below NequIP's (docs/accuracy.md), and the same settings with fresh weights, which stand in
for them where the trained ones do not know an element."""


@dataclass(frozen=True)
class Opponent:
    """A peer's script, its environment, and what of ours it meets."""

    environment: str
    script: str
    modes: tuple[str, ...]
    """Of the peer in MD: uncompiled, and those that it offers for speed, where they work (docs/performance.md)."""
    training_modes: tuple[str, ...]
    ours: tuple[str, ...] = (SAME_WEIGHTS,)
    """``SAME_WEIGHTS``, or models of mlff, in MD."""
    ours_in_training: tuple[str, ...] = (SAME_WEIGHTS,)

    @property
    def python(self) -> Path:
        return ROOT / self.environment / "bin" / "python"

    def command(self, *arguments: str) -> list[str]:
        """The command line of the script in its environment."""
        return [str(self.python), str(ROOT / "benchmarks" / "peers" / self.script), *arguments]

    def our_models(self, workload: str, *, training: bool, folder: Path) -> dict[str, str]:
        """Name in the table -> model to measure; a checkpoint with the peer's weights is written into the folder, once."""
        models = {}
        for name in self.ours_in_training if training else self.ours:
            if name == SAME_WEIGHTS:
                checkpoint = folder / Path(self.script).stem
                if not checkpoint.exists():
                    subprocess.run(self.command("--save-ours", str(checkpoint)), check=True, capture_output=True)
                models[name] = str(checkpoint)
            elif name in SHIPPED and workload != "azobenzene":
                models[SHIPPED[name]] = SHIPPED[name]
            else:
                models[name] = name
        return models


OPPONENTS = {
    "schnetpack-painn": Opponent(".venv-peers", "schnetpack_painn.py", ("eager", "scripted"), ("eager",)),
    "torchmdnet-tensornet": Opponent(".venv-peers", "torchmdnet_tensornet.py", ("eager", "compiled"), ("eager",)),
    "torchmdnet-et": Opponent(".venv-peers", "torchmdnet_et.py", ("eager",), ("eager",)),
    "nequip-l1": Opponent(
        ".venv-nequip", "nequip_l1.py", ("eager", "compiled"), ("eager", "compiled"),
        ours=("painn", "tensornet", *SHIPPED), ours_in_training=tuple(SHIPPED.values()),
    ),
    "mace-l1": Opponent(
        ".venv-mace", "mace_l1.py", ("eager",), ("eager",), ours=("painn", "tensornet"), ours_in_training=("painn",)
    ),
}  # fmt: skip
