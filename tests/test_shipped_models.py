"""The trained models that come with the package do what their cards say."""

import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from mlff import MLFFCalculator, evaluate, list_models, load_potential
from mlff.dynamics import run_md, run_relaxation
from mlff.potential.checkpoint import read_document

ROOT = Path(__file__).parents[1]
STRUCTURES = ROOT / "examples" / "structures"
MODELS = sorted(name for name in list_models() if name.startswith("azobenzene-"))


@pytest.fixture
def minima(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import azobenzene_minima

    yield azobenzene_minima
    sys.modules.pop("azobenzene_minima")


def test_the_three_architectures_are_shipped():
    assert {name.removeprefix("azobenzene-") for name in MODELS} >= {"egnn", "painn", "tensornet"}


@pytest.mark.parametrize("name", MODELS)
def test_errors_are_those_of_the_card(name, azobenzene):
    """On the embedded test frames, every fourth of those that the card speaks of."""
    card = read_document(list_models()[name])["extra"]["errors"]["test"]
    table = evaluate(load_potential(name), azobenzene, azobenzene.split("time")["test"]).table()
    for quantity in ("energy_mae_meV", "forces_mae_meV_per_A"):
        assert table[quantity] == pytest.approx(card[quantity], rel=0.1)


def test_painn_finds_the_minima_of_gfn2_xtb(minima):
    calculator = MLFFCalculator("azobenzene-painn", dtype="float64")
    energies = {}
    for isomer in ("trans", "cis"):
        minimum = read(STRUCTURES / f"{isomer}.xyz")
        start = minima.distorted(minimum, seed=0)
        start.calc = calculator
        relaxation = run_relaxation(start, fmax=2e-4, steps=3000)
        assert relaxation.converged
        assert minima.aligned_rmsd(relaxation.atoms, minimum) < 0.1  # Å
        energies[isomer] = relaxation.energies[-1]
    gap = energies["cis"] - energies["trans"]
    assert abs(gap - (minima.STORED["cis"] - minima.STORED["trans"])) < 0.020  # eV


def test_painn_conserves_energy_and_keeps_the_molecule_whole():
    """Half a picosecond at 0.5 and 1 fs; benchmarks/conservation.py is the long version."""
    atoms = read(STRUCTURES / "trans.xyz")
    atoms.calc = MLFFCalculator("azobenzene-painn", dtype="float64")
    start = run_md(atoms, steps=400, ensemble="langevin", temperature=300, seed=0).atoms
    fluctuation = {}
    for timestep in (0.5, 1.0):
        simulation = run_md(start, steps=round(500 / timestep), timestep=timestep, interval=2)
        fluctuation[timestep] = simulation.energies.fluctuation
        bonded = atoms.get_all_distances() < 1.7
        assert (simulation.atoms.get_all_distances()[bonded] < 2.0).all()
        assert abs(simulation.energies.drift) < 1.0  # meV/atom/ps
    assert np.isclose(fluctuation[1.0] / fluctuation[0.5], 4.0, rtol=0.35)
