"""What couplings, dipoles and spin-orbit magnitudes owe to symmetry, for every registered model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mlff.graph import Graph, build_graph, collate
from mlff.potential.potential import Potential

from .conftest import CUTOFF

NUMBERS = np.array([6, 7, 8, 1, 1])
POSITIONS = np.array([[0.0, 0.0, 0.0], [1.43, 0.21, -0.15], [1.95, 1.31, 0.54], [-0.52, 0.81, 0.63], [-0.41, -0.98, 0.22]])
"""Chiral, Å."""
TURN = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
TURN *= np.linalg.det(TURN)
ODD_NACS, ODD_DIPOLES = [True, False, True], [False, True, False, False]
"""Which of the pairs 01, 02, 12 and of the dipoles 00, 01, 02, 11 are of opposite parity."""
VECTORS = {"interstate_coupling": ODD_NACS, "nac": ODD_NACS, "dipole": ODD_DIPOLES}


def results(potential: Potential, positions: np.ndarray = POSITIONS, numbers: np.ndarray = NUMBERS) -> dict[str, Tensor]:
    return potential(build_graph(positions, numbers, CUTOFF), couplings=True)


def close(actual: Tensor, expected: Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-7, atol=atol)


def close_vectors(name: str, actual: Tensor, expected: Tensor, potential: Potential) -> None:
    """Equal; of diabatic surfaces, whose eigenvectors have signs of their own, up to one sign a pair."""
    for pair in range(expected.shape[1]):
        a, b = actual[:, pair], expected[:, pair]
        if potential.config.surfaces == "diabatic" and (a + b).abs().max() < (a - b).abs().max():
            a = -a
        close(a, b)


def test_turning_a_structure_turns_its_vectors_and_leaves_its_scalars(potential: Potential) -> None:
    before, after = results(potential), results(potential, POSITIONS @ TURN.T)
    close(after["energy"], before["energy"])
    close(after["soc_magnitude"], before["soc_magnitude"])
    close(after["forces"], before["forces"] @ torch.from_numpy(TURN.T))
    for name in VECTORS:
        assert before[name].abs().amax(dim=(0, 2)).min() > 1e-5, name
        close_vectors(name, after[name], before[name] @ torch.from_numpy(TURN.T), potential)


def test_a_reflection_turns_vectors_of_pairs_of_equal_parity_and_changes_the_sign_of_the_others(potential: Potential) -> None:
    mirror = TURN @ np.diag([1.0, 1.0, -1.0])
    before, after = results(potential), results(potential, POSITIONS @ mirror.T)
    close(after["energy"], before["energy"])
    close(after["soc_magnitude"], before["soc_magnitude"])
    for name, odd in VECTORS.items():
        signs = torch.tensor([-1.0 if flag else 1.0 for flag in odd], dtype=torch.float64).view(1, -1, 1)
        close_vectors(name, after[name], signs * before[name] @ torch.from_numpy(mirror.T), potential)


def test_moving_a_structure_changes_nothing_but_the_dipole_of_an_ion(potential: Potential) -> None:
    shift = np.array([10.0, -7.0, 3.0])
    before, after = results(potential), results(potential, POSITIONS + shift)
    for name in ("energy", "forces", "interstate_coupling", "soc_magnitude"):
        close(after[name], before[name])
    charge = potential.config.total_charge * torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    close(after["dipole"] - before["dipole"], (charge[:, None] * torch.from_numpy(shift)).unsqueeze(0))


def test_couplings_move_no_centre_of_mass(potential: Potential) -> None:
    found = results(potential)
    for name in ("interstate_coupling", "nac"):
        close(found[name].sum(0), torch.zeros(3, 3, dtype=torch.float64))


def test_the_order_of_the_atoms_does_not_matter(potential: Potential) -> None:
    order = np.random.default_rng(0).permutation(len(NUMBERS))
    before, after = results(potential), results(potential, POSITIONS[order], NUMBERS[order])
    close(after["soc_magnitude"], before["soc_magnitude"])
    close_vectors("dipole", after["dipole"], before["dipole"], potential)
    close_vectors("nac", after["nac"], before["nac"][order], potential)


def test_a_batch_gives_what_its_structures_give_alone(potential: Potential) -> None:
    graphs: list[Graph] = [build_graph(POSITIONS * scale, NUMBERS, CUTOFF) for scale in (1.0, 1.05)]
    graphs.append(build_graph([[0, 0, 0], [0, 0, 1.1]], [6, 8], CUTOFF))
    together, alone = potential(collate(graphs), couplings=True), [potential(graph, couplings=True) for graph in graphs]
    for name, value in together.items():
        close(value, torch.cat([each[name] for each in alone]), atol=1e-8)
    own = potential(collate(graphs), states=torch.tensor([2, 0, 3]))["forces"][:, 0]
    close(own, torch.cat([each["forces"][:, state] for each, state in zip(alone, (2, 0, 3))]))


def test_nac_times_the_gap_is_the_interstate_coupling(potential: Potential) -> None:
    found = results(potential)
    energy = found["energy"][0]
    gaps = torch.stack([energy[j] - energy[i] for i, j in potential.config.nac_pairs])
    assert gaps.abs().min() > 1e-4
    if potential.config.couplings != "direct":
        gaps = gaps + 1e-12 / gaps  # the treatment of small gaps
    close(found["nac"] * gaps[:, None], found["interstate_coupling"])


def test_magnitudes_are_not_negative(potential: Potential) -> None:
    assert (results(potential)["soc_magnitude"] >= 0).all()


def test_a_loss_of_all_of_them_reaches_every_head(potential: Potential) -> None:
    try:
        found = potential.train()(build_graph(POSITIONS, NUMBERS, CUTOFF), couplings=True)
        sum(found[name].square().sum() for name in ("forces", "nac", "dipole", "soc_magnitude")).backward()
        found = {name: p.grad is not None and bool(p.grad.any()) for name, p in potential.named_parameters()}
        assert {name.split(".")[0] for name, moved in found.items() if moved} == {name.split(".")[0] for name in found}
        assert all(p.grad is None or p.grad.isfinite().all() for p in potential.parameters())
    finally:
        potential.eval().zero_grad(set_to_none=True)


def test_few_and_symmetric_atoms_have_finite_results_and_gradients(potential: Potential) -> None:
    """Where vectors vanish, are parallel, or states of an atom alone do not depend on where it is."""
    structures = {
        "one atom": ([8], [[0.3, 0.2, 0.1]]),
        "two far atoms": ([8, 1], [[0, 0, 0], [0, 0, 50.0]]),
        "linear": ([6, 8, 8], [[0, 0, 0], [0, 0, 1.2], [0, 0, -1.2]]),
        "octahedron": ([8, 1, 1, 1, 1, 1, 1], [[0, 0, 0], *np.eye(3), *-np.eye(3)]),
    }
    try:
        for numbers, positions in structures.values():
            found = potential.train()(build_graph(positions, numbers, CUTOFF), couplings=True)
            assert all(value.isfinite().all() for value in found.values())
            sum(found[name].square().sum() for name in ("forces", "interstate_coupling", "dipole")).backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in potential.parameters())
            if len(numbers) == 1:
                assert not found["nac"].any() and not found["forces"].any()
    finally:
        potential.eval().zero_grad(set_to_none=True)
