"""Potentials whose atoms are connected by their nearest neighbours or by bonds: what holds, and what breaks."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from mlff.calculators import MLFFCalculator
from mlff.dynamics.namd.ml import MLSurfaces
from mlff.fast import CompilationError, Program
from mlff.fast.portable import export_potential
from mlff.graph import GraphConfig, build_graph, collate, connect
from mlff.graph.covalent_radii import COVALENT_RADII
from mlff.models import ALL, CONVERTED, model_config
from mlff.potential.checkpoint import load_potential, save_potential
from mlff.potential.potential import Potential, PotentialConfig

KNN, BONDS = GraphConfig(kind="knn", neighbors=3), GraphConfig(kind="bonds")
KINDS = {"radius": GraphConfig(), "knn": KNN, "bonds": BONDS}
every_kind = pytest.mark.parametrize("kind", KINDS)
CUTOFF = 4.0
NUMBERS = np.array([6, 6, 8, 7, 1, 1, 1, 1])
POSITIONS = np.array(
    [
        [0.00, 0.00, 0.00], [1.43, 0.21, -0.15], [1.95, 1.31, 0.54], [2.11, -1.02, 0.33], [-0.52, 0.81, 0.63],
        [-0.41, -0.98, 0.22], [-0.25, 0.33, -1.04], [3.02, -1.11, -0.12],
    ]
)  # fmt: skip
"""A chiral molecule, Å."""
CELL = np.array([[5.1, 0.3, -0.2], [1.1, 4.7, 0.4], [-0.7, 0.9, 5.5]])


def make(model: str = "painn", kind: str = "knn", **settings) -> Potential:
    """A small potential in float64, its weights large enough to see."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        potential = Potential.build(
            model_config(model, num_features=16, cutoff=CUTOFF), species=[1, 6, 7, 8], graph=KINDS[kind], **settings
        ).double()
        with torch.no_grad():
            for parameter in potential.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    return potential.eval()


def molecule(positions=POSITIONS, numbers=NUMBERS):
    return build_graph(positions, numbers, CUTOFF)


def crystal(positions=POSITIONS, numbers=NUMBERS, cell=CELL):
    return build_graph(positions, numbers, CUTOFF, cell=cell, pbc=True)


def close(found, expected, atol=1e-9):
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


# What holds


@every_kind
@pytest.mark.parametrize("model", [name for name in ALL if name not in CONVERTED])
def test_every_model_accepts_every_kind(model, kind):
    try:
        potential = make(model, kind)
    except ImportError as error:
        pytest.skip(str(error))
    far = build_graph([[0, 0, 0], [0, 0, 3.5]], [6, 1], CUTOFF)
    graphs = [molecule(), crystal(), build_graph([[0, 0, 0]], [8], CUTOFF), far]
    together = potential(collate(graphs))
    for name in ("energy", "forces"):
        assert together[name].isfinite().all()
        close(together[name], torch.cat([potential(graph)[name] for graph in graphs]), atol=1e-8)


@every_kind
def test_model_and_heads_see_connected_atoms_alone(kind):
    """The potential gives what it gives of a graph that was connected before."""
    potential = make(kind=kind, num_states=2, multiplicities=(1, 1), couplings="interstate", dipole_pairs=((0, 0), (0, 1)))
    whole = make(kind="radius", num_states=2, multiplicities=(1, 1), couplings="interstate", dipole_pairs=((0, 0), (0, 1)))
    graph = molecule()
    found = potential(graph, couplings=True)
    expected = whole(connect(graph, KINDS[kind]), couplings=True)
    for name in ("energies", "forces", "interstate_coupling", "dipole"):
        close(found[name], expected[name])
    close(potential.atom_energies(graph), found["energies"])


@every_kind
@pytest.mark.parametrize("build", [molecule, crystal])
@pytest.mark.parametrize("model", ["painn", "schnet"])
def test_energies_are_those_of_the_turned_and_reordered_structure(model, build, kind):
    potential = make(model, kind)
    before = potential(build())
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    turned = molecule(POSITIONS @ turn.T) if build is molecule else crystal(POSITIONS @ turn.T, cell=CELL @ turn.T)
    after = potential(turned)
    close(after["energies"], before["energies"])
    close(after["forces"], before["forces"] @ torch.from_numpy(turn.T))
    order = np.random.default_rng(0).permutation(len(NUMBERS))
    after = potential(build(POSITIONS[order], NUMBERS[order]))
    close(after["energies"], before["energies"][order])
    close(after["forces"], before["forces"][order])
    shifted = POSITIONS + [0.3, -7.0, 2.0]
    close(potential(build(shifted))["energies"], before["energies"])


@every_kind
@pytest.mark.parametrize("build", [molecule, crystal])
def test_forces_are_minus_the_derivative_of_the_energy_between_jumps(build, kind):
    potential, step = make(kind=kind), 1e-5
    energies = []
    for index in range(POSITIONS.size):
        for sign in (1, -1):
            moved = POSITIONS.copy().reshape(-1)
            moved[index] += sign * step
            energies.append(build(moved.reshape(-1, 3)))
    energy = potential(collate(energies), forces=False)["energy"].view(-1, 2)
    forces = potential(build())["forces"][:, 0]
    assert forces.abs().max() > 1e-2
    close(forces.reshape(-1), -(energy[:, 0] - energy[:, 1]) / (2 * step), atol=1e-6)


@every_kind
def test_stress_is_the_derivative_of_the_energy_by_strain_between_jumps(kind):
    potential, step = make(kind=kind), 1e-5

    def energy(strain):
        deformation = np.eye(3) + strain
        return float(potential(crystal(POSITIONS @ deformation, cell=CELL @ deformation), forces=False)["energy"])

    along_x = np.diag([step, 0, 0])
    numeric = (energy(along_x) - energy(-along_x)) / (2 * step) / np.linalg.det(CELL)
    assert float(potential(crystal(), stress=True)["stress"][0, 0, 0]) == pytest.approx(numeric, abs=1e-7)


def test_atoms_told_apart_by_place_are_bonded_by_their_elements():
    """Places are numbers like those of elements: the first of eight atoms is no hydrogen."""
    settings = dict(labelled_atoms=tuple(NUMBERS.tolist()))
    bonded, whole = make(kind="bonds", **settings), make(kind="radius", **settings)
    graph = molecule()
    close(bonded(graph)["energies"], whole(connect(graph, BONDS))["energies"])
    assert connect(graph, BONDS).num_pairs == 7


@every_kind
def test_a_longer_list_changes_nothing(kind):
    """Such as that of a Verlet skin: which pairs are connected is a matter of the model's cutoff."""
    potential = make(kind=kind)
    wide = build_graph(POSITIONS * 1.3, NUMBERS, CUTOFF + 2, cell=CELL, pbc=True)
    exact = build_graph(POSITIONS * 1.3, NUMBERS, CUTOFF, cell=CELL, pbc=True)
    close(potential(wide)["energies"], potential(exact)["energies"])


def test_the_prior_sees_pairs_that_are_not_connected():
    """Bonds of 0.3 radii: none; two atoms that collide repel each other all the same."""
    close_by = build_graph([[0, 0, 0], [0.5, 0, 0]], [8, 8], CUTOFF)
    none = GraphConfig(kind="bonds", tolerance=0.3)
    with_prior, without = (
        Potential.build(model_config("painn", num_features=16), species=[8], zbl=zbl, graph=none) for zbl in (True, False)
    )
    graph = build_graph([[0, 0, 0], [0.5, 0, 0]], [8, 8], with_prior.cutoff)
    assert connect(close_by, none).num_pairs == 0
    assert not without(graph)["forces"].any()
    assert with_prior.eval()(graph)["forces"][1, 0, 0].item() > 10


# What breaks


def torn(distance: float):
    """The hydrogen 7 at this distance from its nitrogen, Å, along their bond."""
    positions = POSITIONS.copy()
    bond = POSITIONS[7] - POSITIONS[3]
    positions[7] = POSITIONS[3] + distance * bond / np.linalg.norm(bond)
    return molecule(positions)


def jump(potential: Potential, distance: float) -> float:
    """How far the energy is discontinuous at a distance, eV: its rise less that which forces foretell."""
    epsilon = 1e-6
    before, after = (potential(torn(distance + sign * epsilon)) for sign in (-1, 1))
    direction = torch.from_numpy((POSITIONS[7] - POSITIONS[3]) / np.linalg.norm(POSITIONS[7] - POSITIONS[3]))
    slope = -float((before["forces"] + after["forces"])[7, 0] @ direction) / 2
    return float(after["energy"] - before["energy"]) - 2 * epsilon * slope


def test_the_energy_jumps_where_a_bond_breaks_and_there_alone():
    broken = 1.3 * (COVALENT_RADII[1] + COVALENT_RADII[7])
    potential, smooth = make(kind="bonds"), make(kind="radius")
    assert abs(jump(potential, broken)) > 1e-2
    for distance in (broken - 0.01, broken + 0.01):
        assert abs(jump(potential, distance)) < 1e-9
    assert abs(jump(smooth, broken)) < 1e-9


def test_the_energy_jumps_where_the_nearest_neighbor_becomes_another():
    """A hydrogen between two oxygens, connected with the nearer."""
    smooth = make(kind="radius")
    potential = Potential(smooth.config.model_copy(update={"graph": GraphConfig(kind="knn", neighbors=1)})).double().eval()
    potential.load_state_dict(smooth.state_dict())

    def energy(of, x):
        """The oxygens have nearer atoms beside them, of different elements, so that neither chooses the hydrogen."""
        graph = build_graph([[x, 0, 0], [0, 0, 0], [0, 1.2, 0], [3.0, 0, 0], [3.0, 1.0, 0.6]], [1, 8, 6, 8, 8], CUTOFF)
        return float(of(graph, forces=False)["energy"])

    rises = [abs(energy(of, 1.5 + 1e-6) - energy(of, 1.5 - 1e-6)) for of in (potential, smooth)]
    assert rises[0] > 1e-3 and rises[1] < 1e-5


# What is written, compiled and said


@every_kind
def test_a_checkpoint_keeps_the_kind(tmp_path, kind):
    potential = make(kind=kind)
    loaded = load_potential(save_potential(potential, tmp_path / "model"))
    assert loaded.config.graph == KINDS[kind]
    close(loaded(molecule())["energy"], potential(molecule())["energy"])


def test_settings_without_a_kind_connect_as_the_model_does():
    settings = make(kind="radius").config.model_dump(mode="json")
    del settings["graph"]
    assert PotentialConfig.model_validate(settings).graph == GraphConfig()


def test_bonds_of_elements_without_radii_are_refused():
    with pytest.raises(ValueError, match="`graph.kind` is bonds, but covalent radii are known for the elements 1 to 96"):
        Potential.build(model_config("painn"), species=[1, 99], graph=BONDS)


@pytest.mark.parametrize("kind", ["knn", "bonds"])
def test_compiled_and_portable_programs_refuse_in_a_sentence(kind):
    potential = make(kind=kind)
    with pytest.raises(CompilationError, match=f"connects all atoms within the cutoff, .* `graph.kind` is {kind}"):
        Program(potential, compile=True)
    with pytest.raises(ValueError, match=f"connects all atoms within the cutoff; .* `graph.kind` is {kind}"):
        export_potential(potential)


@pytest.mark.parametrize("kind", ["knn", "bonds"])
def test_a_calculator_warns_that_energies_jump_and_runs_uncompiled(kind):
    from ase import Atoms

    potential = make(kind=kind)
    atoms = Atoms(NUMBERS, POSITIONS)
    words = f"connected by `graph.kind={kind}`: the energy of an atom jumps where"
    with pytest.warns(UserWarning, match=words) as of_calculator:
        atoms.calc = MLFFCalculator(copy.deepcopy(potential), dtype="float64")
    with pytest.warns(UserWarning, match=words) as of_surfaces:
        MLSurfaces(copy.deepcopy(potential), NUMBERS)
    assert [each.filename for caught in (of_calculator, of_surfaces) for each in caught] == [__file__] * 2
    assert atoms.get_potential_energy() == pytest.approx(float(potential(molecule())["energy"]), abs=1e-9)
