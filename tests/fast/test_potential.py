"""The fast form of a potential gives the potential's energies, forces and virials."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlff.fast import CompilationError, Structure
from mlff.graph import build_graph
from mlff.potential.checkpoint import load_potential
from mlff.potential.pretrained import list_models

from ..models.variants import (
    CELL,
    NUM_STATES,
    NUMBERS,
    POSITIONS,
    VARIANTS,
    WITHOUT_SYMMETRY,
    make_potential,
    make_repelling,
)

STRUCTURES = {
    "molecule": Structure(POSITIONS, NUMBERS),
    "crystal": Structure(POSITIONS, NUMBERS, CELL, np.array([True, True, True])),
    "slab": Structure(POSITIONS, NUMBERS, CELL, np.array([True, True, False])),
    "far from the origin": Structure(POSITIONS + 1e4, NUMBERS),
    "an atom beyond the cutoff of all": Structure(np.vstack((POSITIONS, [60.0, 0, 0])), np.append(NUMBERS, 8)),
    "two atoms": Structure(np.array([[0, 0, 0], [0.74, 0, 0]]), np.array([1, 1])),
    "octahedron": Structure(np.vstack((np.zeros((1, 3)), np.eye(3), -np.eye(3))), np.array([8, 1, 1, 1, 1, 1, 1])),
}
TOLERANCES = {torch.float64: (1e-8, 1e-7), torch.float32: (1e-4, 1e-4)}
"""Energy in eV and forces in eV/Å, the latter relative to the largest force where that is above 1 eV/Å."""


def assert_equals_the_potential(fast, structure, dtype):
    energy_tolerance, force_tolerance = TOLERANCES[dtype]
    graph = build_graph(
        structure.positions, structure.atomic_numbers, fast.potential.cutoff, cell=structure.cell, pbc=structure.pbc
    )
    crystal = structure.pbc is not None and structure.pbc.all()
    exact = {name: value.double().numpy() for name, value in fast.potential(graph, stress=bool(crystal)).items()}
    for state in range(fast.potential.num_states):
        found = fast(structure, state)
        if found is None:
            assert graph.num_pairs < 2
            return
        forces = exact["forces"][:, state]
        largest = max(1.0, abs(forces).max())
        np.testing.assert_allclose(found.energies.sum(0), exact["energy"][0], rtol=0, atol=energy_tolerance * largest)
        np.testing.assert_allclose(found.energies, exact["energies"], rtol=0, atol=energy_tolerance * largest)
        np.testing.assert_allclose(found.forces, forces, rtol=0, atol=force_tolerance * largest)
        np.testing.assert_allclose(found.forces.sum(0), 0, atol=force_tolerance * largest)
        if crystal:
            stress = found.virial[(0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)] / np.linalg.det(structure.cell)
            np.testing.assert_allclose(stress, exact["stress"][0, state], rtol=0, atol=force_tolerance * largest)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if VARIANTS[name][0] not in WITHOUT_SYMMETRY])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_energies_forces_and_stress_are_the_potentials(variant, dtype, interpreted):
    fast = interpreted(make_potential(variant, dtype))
    for name, structure in STRUCTURES.items():
        if name == "octahedron" and dtype == torch.float32:
            continue  # where PaiNN's vectors cancel, their norm's slope makes 1e-3 eV/Å of rounding, also uncompiled
        assert_equals_the_potential(fast, structure, dtype)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if VARIANTS[name][0] in WITHOUT_SYMMETRY])
def test_models_that_mind_where_atoms_are_are_refused(variant, interpreted):
    with pytest.raises(CompilationError, match="vectors between atoms"):
        interpreted(make_potential(variant))


@pytest.mark.parametrize("name", sorted(list_models()))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_shipped_models_keep_their_energies_and_forces(name, dtype, interpreted, azobenzene):
    fast = interpreted(load_potential(name, dtype=dtype))
    for index in range(0, len(azobenzene), 400):
        frame = azobenzene[index]
        assert_equals_the_potential(fast, Structure(frame.positions, frame.atomic_numbers.astype(np.int64)), dtype)


@pytest.mark.parametrize("variant", ["painn", "egnn"])
def test_the_repulsion_of_close_atoms_is_added(variant, interpreted):
    potential = make_repelling(variant)
    fast = interpreted(potential)
    close = POSITIONS.copy()
    close[4] = close[0] + (0.3, 0.25, 0.1)
    for pbc in (None, np.array([True, True, True])):
        structure = Structure(close, NUMBERS, None if pbc is None else CELL, pbc)
        assert_equals_the_potential(fast, structure, torch.float64)
        assert abs(fast(structure, 0).forces).max() > 10
    for distance in np.linspace(0.3, 1.2, 19):  # within the reach of larger atoms, and of these
        close[4] = close[0] + distance * np.array([0.6, 0.0, 0.8])
        assert_equals_the_potential(fast, Structure(close, NUMBERS), torch.float64)


@pytest.mark.parametrize("variant", ["painn", "egnn"])
def test_structures_that_compiled_code_is_not_made_for_are_left_to_the_potential(variant, interpreted):
    fast = interpreted(make_potential(variant))
    assert fast(Structure(np.zeros((1, 3)), np.array([8])), 0) is None
    assert fast(Structure(np.array([[0, 0, 0], [30.0, 0, 0]]), np.array([8, 1])), 0) is None


def test_a_list_kept_through_a_trajectory_changes_nothing(interpreted):
    """The skin is a matter of speed alone, also where atoms come and go and the cell changes."""
    potential, rng = make_potential("painn"), np.random.default_rng(0)
    fast = interpreted(potential, skin=1.0)
    positions = POSITIONS.copy()
    for step in range(12):
        positions = positions + rng.normal(scale=0.06, size=positions.shape)
        cell = CELL * (1.02 if step > 6 else 1.0)
        structure = Structure(positions, NUMBERS, cell, np.array([True, True, True]))
        new = interpreted(potential, skin=0.0)(structure, 1)
        found = fast(structure, 1)
        np.testing.assert_allclose(found.forces, new.forces, rtol=0, atol=1e-10)
    assert_equals_the_potential(fast, Structure(POSITIONS[:5], NUMBERS[:5]), torch.float64)


def test_every_state_has_its_own_forces(interpreted):
    fast = interpreted(make_potential("painn"))
    assert NUM_STATES == 2
    first, second = (fast(STRUCTURES["molecule"], state) for state in range(2))
    np.testing.assert_allclose(first.energies, second.energies, atol=1e-12)
    assert abs(first.forces - second.forces).max() > 1e-2
