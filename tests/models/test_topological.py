"""GCN, message passing and the graph transformer: closed formulas, and what bonds can and cannot tell."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule as named_molecule
from numpy.typing import NDArray
from scipy.linalg import expm

pytest.importorskip("torch_geometric", reason="torch_geometric is not installed: pip install 'mlff[topology]'")

from mlff.calculators import CommitteeCalculator, MLFFCalculator
from mlff.calculators.topological import NoForces
from mlff.data import HDF5View
from mlff.datasets import chno
from mlff.dynamics.namd.ml import MLSurfaces
from mlff.dynamics.vibrations import hessian
from mlff.graph import Graph, GraphConfig, build_graph, collate, connect
from mlff.graph.topology import covalent_bonds, normalized_laplacian
from mlff.models import TOPOLOGICAL, build_model, model_config
from mlff.models.graph_transformer import adjacencies, heat_kernels, molecules, places_in
from mlff.models.topological import connections
from mlff.potential.potential import Potential
from mlff.train.config import TrainConfig
from mlff.train.trainer import train

from .contract import close
from .variants import CELL, CUTOFF, NUMBERS, POSITIONS, crystal, make_potential
from .variants import molecule as chiral

Array = NDArray[np.float64]
BONDS = GraphConfig(kind="bonds")
SPECIES = (1, 6, 7, 8)

# carbon atoms of decalin (two hexagons that share an edge) and of bicyclopentyl (two pentagons joined by a bond)
DECALIN = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (5, 6), (6, 7), (7, 8), (8, 9), (9, 0)]
BICYCLOPENTYL = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (5, 6), (6, 7), (7, 8), (8, 9), (9, 5), (0, 5)]


def bonded(atoms: Atoms) -> Graph:
    return connect(build_graph(atoms.positions, atoms.numbers, CUTOFF), BONDS)


def of_bonds(pairs: list[tuple[int, int]], numbers: list[int]) -> Graph:
    """A graph of these connections, whatever the positions."""
    batch, positions = torch.zeros(len(numbers), dtype=torch.int64), torch.zeros(len(numbers), 3, dtype=torch.float64)
    return Graph(positions, torch.tensor(numbers), batch, torch.tensor(pairs).T, CUTOFF, 1)


@pytest.fixture(params=list(TOPOLOGICAL))
def potential(request: pytest.FixtureRequest) -> Potential:
    return make_potential(request.param)


@pytest.fixture(scope="module")
def conformers() -> tuple[HDF5View, list[int]]:
    """Relaxed conformers of the corpus, and rows whose next row is another conformer of the same molecule."""
    data = chno()
    view = data.select(trajectories=[str(each.name) for each in data.trajectories[600:660]]).select(max_force=0.05)
    names = [frame.trajectory for frame in view]
    return view, [row for row, (one, two) in enumerate(zip(names, names[1:])) if one == two]


# GCN


@pytest.mark.parametrize("kind", ["bonds", "radius"])
@pytest.mark.parametrize("build", [chiral, crystal])
def test_gcn_is_the_product_of_normalised_adjacency_features_and_weights(build, kind) -> None:
    """Equation 2 of the paper, ``relu(D^-1/2 (A + 1) D^-1/2 H W)``, in numpy; in a crystal A counts images."""
    torch.manual_seed(0)
    model = build_model(model_config("gcn", num_features=6, num_layers=2, residual=False, cutoff=CUTOFF)).double()
    graph = connect(build(), GraphConfig(kind=kind))
    own = np.eye(len(NUMBERS))
    for i, j in graph.pairs.T.tolist():
        own[i, j] += 1
        own[j, i] += 1
    if build is crystal:
        assert own.max() > 1 or kind == "bonds"
    root = np.diag(own.sum(axis=1) ** -0.5)
    h = model.embedding.weight[NUMBERS].detach().numpy()
    for convolution in model.convolutions:
        h = np.maximum(root @ own @ root @ h @ convolution.lin.weight.detach().numpy().T, 0)
    np.testing.assert_allclose(model(graph).scalar.detach().numpy(), h, rtol=0, atol=1e-12)


def test_many_layers_without_residuals_make_like_atoms_alike() -> None:
    """The smoothing that the residual is there for: features of benzene's atoms over their degrees' roots become one."""
    torch.manual_seed(0)
    model = build_model(model_config("gcn", num_features=8, num_layers=1, residual=False, cutoff=CUTOFF)).double()
    graph = bonded(named_molecule("C6H6"))
    loops = torch.arange(12).expand(2, -1)
    edges = torch.cat((connections(graph, CUTOFF), loops), dim=1)
    with torch.no_grad():
        model.convolutions[0].lin.weight.copy_(torch.eye(8))
        h = model.embedding(graph.atomic_numbers)
        for _ in range(200):
            h = model.convolutions[0](h, edges)
    degrees = torch.tensor([4.0] * 6 + [2.0] * 6, dtype=torch.float64)
    flat = h / degrees.sqrt()[:, None]
    assert (flat - flat.mean(0)).abs().max() < 1e-6 * flat.abs().max()


# Message passing


def test_message_passing_cannot_tell_what_the_test_of_weisfeiler_and_leman_cannot() -> None:
    """Decalin and bicyclopentyl have the same neighbourhoods all the way; their Laplacians have other spectra."""
    for name, told_apart in (("gcn", False), ("mpnn", False), ("graph-transformer", True)):
        model = make_potential(name).model
        one, other = (model(of_bonds(pairs, [6] * 10)).scalar.sum(0) for pairs in (DECALIN, BICYCLOPENTYL))
        difference = (one - other).abs().max().item()
        assert difference > 1e-3 if told_apart else difference < 1e-10, name


def test_a_bond_knows_the_numbers_of_neighbours_at_its_ends() -> None:
    """Ethane, ethene and ethyne: the same elements; what differs is what chemists call the order of the bond."""
    model = make_potential("mpnn").model
    carbons = [model(bonded(named_molecule(name))).scalar[0] for name in ("C2H6", "C2H4", "C2H2")]
    assert all((one - other).abs().max() > 1e-2 for one, other in zip(carbons, carbons[1:]))


# The encodings of the graph transformer


def encodings(graph: Graph, times: list[float]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heat kernels of the molecules of a graph, the molecule of each atom, and its place there."""
    edges = connections(graph, CUTOFF)
    molecule, count = molecules(edges, graph.num_atoms)
    place = places_in(molecule, count)
    return heat_kernels(adjacencies(edges, molecule, place, count), torch.tensor(times, dtype=torch.float64)), molecule, place


@pytest.mark.parametrize("name", ["C6H6", "CH3CH2OH", "isobutane", "C3H4_C3v", "H2O"])
def test_encodings_are_the_matrix_exponential_of_the_normalised_laplacian(name: str) -> None:
    """Against SciPy's, of the Laplacian of `mlff.graph.topology`."""
    atoms = named_molecule(name)
    pairs, _ = covalent_bonds(atoms.numbers, atoms.positions)
    times = [0.5, 4.0]
    found, _, _ = encodings(bonded(atoms), times)
    for column, time in enumerate(times):
        expected = expm(-time * normalized_laplacian(pairs, len(atoms)))
        np.testing.assert_allclose(found[0, :, :, column], expected, atol=1e-12)


def test_molecules_are_what_bonds_hold_together() -> None:
    pair = named_molecule("CH3CH2OH")
    second = named_molecule("H2O")
    second.positions += (8.0, 1.0, 0.0)
    order = np.random.default_rng(2).permutation(12)
    both = (pair + second)[order]
    lonely = Atoms("O", [(30.0, 0, 0)])
    graph = collate([bonded(both), bonded(lonely)])
    molecule, count = molecules(connections(graph, CUTOFF), graph.num_atoms)
    assert count == 3
    of_water = (order >= 9).tolist()
    assert len({(int(m), w) for m, w in zip(molecule[:12], of_water)}) == 2 and int(molecule[12]) not in molecule[:12].tolist()
    place = places_in(molecule, count)
    assert sorted(zip(molecule.tolist(), place.tolist())) == sorted(
        (m, k) for m in range(count) for k in range(int((molecule == m).sum()))
    )


def test_a_long_chain_is_one_molecule_however_its_atoms_are_numbered() -> None:
    order = np.random.default_rng(0).permutation(300)
    chain = torch.tensor(np.array([order[:-1], order[1:]]))
    molecule, count = molecules(torch.cat((chain, chain.flip(0)), dim=1), 300)
    assert count == 1 and not molecule.any()


@pytest.mark.parametrize("name", ["C6H6", "CH4", "isobutane"])
def test_renumbering_a_symmetric_molecule_changes_its_eigenvectors_and_not_its_encodings(name: str) -> None:
    """Its Laplacian has degenerate eigenvalues, whose eigenvectors are whatever the solver makes of them."""
    atoms, times = named_molecule(name), [0.5, 8.0]
    kernels, _, _ = encodings(bonded(atoms), times)
    pairs, _ = covalent_bonds(atoms.numbers, atoms.positions)
    values, vectors = np.linalg.eigh(normalized_laplacian(pairs, len(atoms)))
    assert (np.diff(values) < 1e-10).any()
    generator, different = np.random.default_rng(1), 0.0
    for _ in range(5):
        order = generator.permutation(len(atoms))
        found, _, _ = encodings(bonded(atoms[order]), times)
        close(found[0], kernels[0][order][:, order], atol=1e-12)
        others, _ = covalent_bonds(atoms.numbers[order], atoms.positions[order])
        turned = np.linalg.eigh(normalized_laplacian(others, len(atoms)))[1]
        different = max(different, float(np.abs(np.abs(turned) - np.abs(vectors[order])).max()))
    assert different > 0.01  # not even but for signs


def test_atoms_that_a_symmetry_exchanges_have_the_same_encodings() -> None:
    kernels, _, _ = encodings(bonded(named_molecule("C6H6")), [0.5, 2.0])
    own = kernels[0].diagonal(dim1=0, dim2=1).T
    close(own[:6], own[:1].expand(6, -1), atol=1e-12)
    close(own[6:], own[6:7].expand(6, -1), atol=1e-12)
    assert (own[0] - own[6]).abs().max() > 0.01


def test_all_atoms_of_a_molecule_have_the_features_of_its_token() -> None:
    scalar = make_potential("graph-transformer").model(collate([bonded(named_molecule(n)) for n in ("C6H6", "H2O")])).scalar
    close(scalar[:12], scalar[:1].expand(12, -1), atol=0)
    close(scalar[12:], scalar[12:13].expand(3, -1), atol=0)
    assert (scalar[0] - scalar[12]).abs().max() > 1e-2


# What bonds tell


def test_conformers_have_one_energy_and_isomers_different_ones(potential: Potential, conformers) -> None:
    view, rows = conformers
    assert len(rows) > 20
    graphs = [build_graph(frame.positions, frame.atomic_numbers, CUTOFF) for frame in view]
    energies = potential(collate(graphs))["energy"]
    references = torch.tensor([frame.energy[0] for frame in view], dtype=torch.float64)
    for row in rows:
        assert abs(references[row] - references[row + 1]) > 1e-4  # the reference tells them apart
        close(energies[row + 1], energies[row], atol=1e-8)
    isomers = [  # ethanol, dimethyl ether
        potential(build_graph(atoms.positions, atoms.numbers, CUTOFF))["energy"]
        for atoms in (named_molecule("CH3CH2OH"), named_molecule("CH3OCH3"))
    ]
    assert (isomers[0] - isomers[1]).abs().max() > 1e-3


def test_a_geometrical_model_tells_conformers_apart(conformers) -> None:
    view, rows = conformers
    energies = make_potential("painn")(
        collate([build_graph(frame.positions, frame.atomic_numbers, CUTOFF) for frame in view])
    )["energy"]
    assert all((energies[row] - energies[row + 1]).abs().max() > 1e-5 for row in rows)


def test_a_broken_bond_changes_the_energy_at_once_and_nothing_else_does(potential: Potential) -> None:
    atoms = named_molecule("CH3CH2OH")
    rest, energies = potential(build_graph(atoms.positions, atoms.numbers, CUTOFF))["energy"], []
    for stretch in (1.05, 1.2, 1.6):
        moved = atoms.copy()
        moved.positions[2] = moved.positions[1] + stretch * (moved.positions[2] - moved.positions[1])  # C-O
        energies.append(potential(build_graph(moved.positions, moved.numbers, CUTOFF))["energy"])
    for stretched in energies[:2]:
        close(stretched, rest, atol=1e-8)
    assert (energies[2] - rest).abs().max() > 1e-4


def test_forces_and_stress_are_zero_and_losses_of_energies_can_be_differentiated(potential: Potential) -> None:
    graph = collate([crystal(), crystal(POSITIONS * 1.05, cell=CELL * 1.1)])
    results = potential(graph, stress=True)
    assert results["forces"].shape == (16, 2, 3) and not results["forces"].any()
    assert results["stress"].shape == (2, 2, 6) and not results["stress"].any()
    trained = potential.train()(graph, stress=True)
    (trained["forces"].square().sum() + trained["stress"].square().sum() + trained["energies"].square().sum()).backward()
    unmoved = [name for name, each in potential.named_parameters() if each.grad is None or not each.grad.any()]
    assert unmoved == []
    with torch.no_grad():
        frozen = potential.eval().requires_grad_(False)(graph, states=[1])
    assert frozen["forces"].shape == (16, 1, 3) and not frozen["forces"].any()


# What has no forces says so


def test_calculators_have_energies_and_say_why_there_are_no_forces() -> None:
    potential, atoms = make_potential("gcn"), Atoms(NUMBERS, POSITIONS)
    for calculator in (MLFFCalculator(potential), CommitteeCalculator([potential, make_potential("gcn-paper")])):
        atoms.calc = calculator
        assert np.isfinite(atoms.get_potential_energy())
        known = set(calculator.implemented_properties)
        assert known.isdisjoint({"forces", "stress", "forces_uncertainty"}) and "energy" in known
        with pytest.raises(NoForces, match="has no forces: its model, gcn, knows which atoms are bonded and not where"):
            atoms.get_forces()
        with pytest.raises(NoForces):
            atoms.get_stress()
    with pytest.raises(NoForces, match="this potential has no forces"):
        hessian(potential, Atoms(NUMBERS, POSITIONS))
    with pytest.raises(NoForces):
        MLSurfaces(potential, NUMBERS)


@pytest.mark.parametrize("overrides, words", [
    (["loss.forces=0.5"], "`loss.forces` is 0.5, but mpnn knows"), (["loss.stress=1"], "`loss.stress`"),
    (["data.noise=0.1"], "`data.noise`"),
])  # fmt: skip
def test_training_refuses_what_a_model_without_forces_cannot_learn(overrides, words) -> None:
    with pytest.raises(ValueError, match=words):
        TrainConfig.build({"model": "mpnn"}, overrides)


def test_a_configuration_learns_energies_of_bonds_where_it_names_such_a_model() -> None:
    config = TrainConfig.build({"model": "gcn", "loss": {"energy": 2.0}})
    assert (config.loss.energy, config.loss.forces, config.graph.kind) == (2.0, 0.0, "bonds")
    assert TrainConfig.build({}).loss.forces > 0 and TrainConfig.build({}).graph.kind == "radius"
    assert TrainConfig.build({"model": "gcn", "graph": {"kind": "knn"}}).graph.kind == "knn"


@pytest.mark.parametrize("settings", [dict(zbl=True), dict(num_states=2, surfaces="diabatic")])
def test_what_makes_energies_depend_on_positions_is_refused(settings) -> None:
    with pytest.raises(ValueError, match="knows which atoms are connected, not where they are"):
        Potential.build(model_config("gcn"), species=SPECIES, **settings)


def test_a_run_on_molecules_lowers_the_error_of_the_energies_and_reports_none_of_forces(tmp_path) -> None:
    """Of relaxed structures of the corpus, whose scale would be 0.01 by their forces."""
    result = train(TrainConfig.build({
        "data": {"path": "chno", "filter": {"max_force": 0.05}, "num_train": 160, "num_val": 40, "num_test": 10},
        "model": {"name": "gcn", "num_features": 16}, "epochs": 4, "batch_size": 16, "out": str(tmp_path / "run"),
        "ema": {"decay": 0.0}, "num_threads": 1, "schedule": {"warmup_steps": 0},
    }))  # fmt: skip
    rows = (result.folder / "metrics.csv").read_text().splitlines()
    losses = [float(row.split(",")[rows[0].split(",").index("val_loss")]) for row in rows[1:]]
    assert losses[-1] < 0.95 * losses[0]
    metrics = result.metrics["test"]
    assert [each.quantity for each in metrics.errors()] == ["energy", "energy_per_atom"]
    potential = MLFFCalculator(result.folder).potential
    assert 0.1 < potential.config.scale < 0.5 and potential.config.graph == BONDS


@pytest.mark.parametrize("name", TOPOLOGICAL)
def test_without_the_package_a_sentence_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [each for each in sys.modules if each.partition(".")[0] == "torch_geometric"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(ImportError, match=r'the model `' + name + r'` needs .* pip install "mlff\[topology\]"'):
        build_model(model_config(name))
