"""A model of mace-torch gives the same energies, forces and stress through our checkpoint as through mace's calculator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from mlff.calculators import MLFFCalculator
from mlff.datasets import azobenzene
from mlff.models.adapter import building, required
from mlff.potential.checkpoint import load_potential
from mlff.potential.external import convert

pytest.importorskip("mace", reason="mace is not installed: run `make test-adapters`")

HEADS = ["pbe", "ccsd"]
ENERGIES = [[-13.6, -1029.5, -1485.3], [-13.7, -1030.5, -1486.3]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small MACE of two levels of theory, with repulsion, float64."""
    modules = required("mace.modules", model="", extra="mace")
    irreps = required("e3nn.o3", model="", extra="mace").Irreps
    torch.manual_seed(2)
    with building(torch.float64):
        model = modules.ScaleShiftMACE(
            r_max=4.5, num_bessel=6, num_polynomial_cutoff=5, max_ell=2, num_interactions=2, num_elements=3,
            interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=modules.interaction_classes["RealAgnosticDensityInteractionBlock"],
            hidden_irreps=irreps("8x0e+8x1o"), MLP_irreps=irreps("4x0e"), gate=torch.nn.functional.silu,
            atomic_energies=np.array(ENERGIES), avg_num_neighbors=9.0, atomic_numbers=[1, 6, 7], correlation=2,
            radial_MLP=[16, 16], pair_repulsion=True, distance_transform="Agnesi", heads=HEADS,
            atomic_inter_scale=[0.8, 1.1], atomic_inter_shift=[0.1, -0.2],
        )  # fmt: skip
    path = tmp_path_factory.mktemp("mace") / "trained.model"
    torch.save(model, path)
    return path


def test_energies_forces_and_stress_are_those_of_mace(trained: Path, tmp_path: Path) -> None:
    calculators = required("mace.calculators", model="", extra="mace")
    written, energy, forces = convert(f"mace:{trained}", tmp_path / "model", trust_pickle=True, head="ccsd")
    assert energy < 1e-9 and forces < 1e-8
    potential = load_potential(written)
    assert potential.config.atomic_energies == dict(zip((1, 6, 7), ENERGIES[1])) and potential.dtype == torch.float64
    ours = MLFFCalculator(potential, dtype="float64", device="cpu")
    theirs = calculators.MACECalculator(model_paths=str(trained), device="cpu", default_dtype="float64", head="ccsd")
    frame = azobenzene()[100]
    molecule = Atoms(frame.atomic_numbers, frame.positions)
    crystal = Atoms("C2N", [[0, 0, 0], [1.3, 0.1, 0.2], [0.2, 1.4, 0.9]], cell=np.diag([3.1, 3.4, 3.7]), pbc=True)
    for atoms in (molecule, crystal):
        expected, found = atoms.copy(), atoms.copy()
        expected.calc, found.calc = theirs, ours
        assert found.get_potential_energy() == pytest.approx(expected.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(found.get_forces(), expected.get_forces(), atol=1e-8)
    np.testing.assert_allclose(found.get_stress(), expected.get_stress(), atol=1e-9)


def test_one_of_several_heads_is_to_be_chosen(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose one with --head"):
        convert(f"mace:{trained}", tmp_path / "model", trust_pickle=True)
    with pytest.raises(ValueError, match="no head 'b3lyp'; it has pbe, ccsd"):
        convert(f"mace:{trained}", tmp_path / "model", trust_pickle=True, head="b3lyp")


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"state": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="holds a dict"):
        convert(f"mace:{tmp_path / 'checkpoint.pt'}", tmp_path / "model", trust_pickle=True)
    (tmp_path / "text.model").write_text("no pickle")
    with pytest.raises(ValueError, match="cannot be opened as a model of mace-torch"):
        convert(f"mace:{tmp_path / 'text.model'}", tmp_path / "model", trust_pickle=True)
