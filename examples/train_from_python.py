"""Train a small model from Python and use it: python examples/train_from_python.py

A few seconds of training, so that the script can be tried; a useful model takes minutes to hours (`max_time`).
"""

from pathlib import Path

from ase.io import read
from ase.optimize import BFGS

from mlff import MLFFCalculator, TrainConfig, evaluate, load_potential
from mlff.datasets import azobenzene
from mlff.train.trainer import train

config = TrainConfig.build(
    {
        "data": {"path": "azobenzene", "num_train": 100, "num_val": 20},
        "model": {"name": "painn", "num_features": 32},
        "epochs": 3,
        "out": "runs/from_python",
    }
)
train(config)

potential = load_potential("runs/from_python")
dataset = azobenzene()
test = dataset.split(dataset.splits[0])["test"][:50]
print(f"force MAE on 50 test frames: {evaluate(potential, dataset, test).error('forces').mae:.0f} meV/Å")

atoms = read(Path(__file__).parent / "structures" / "trans.xyz")
atoms.calc = MLFFCalculator(potential)
BFGS(atoms).run(fmax=0.05, steps=10)
