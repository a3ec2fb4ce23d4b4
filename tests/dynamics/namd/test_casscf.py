"""CASSCF on the fly: forces and couplings are the derivatives they claim to be, and trajectories conserve energy."""

import numpy as np
import pytest

pytest.importorskip("pyscf")

from mlff.data import HDF5Dataset
from mlff.dynamics import run_namd
from mlff.dynamics.namd import HoppingSettings, SurfaceHopping, state_pairs
from mlff.dynamics.namd.casscf import CASSCFSurfaces
from mlff.dynamics.namd.initial import InitialConditions
from mlff.units import BOHR, HARTREE

NUMBERS = [6, 7, 1, 1, 1, 1]
PLANAR = np.array([[0, 0, 0], [0, 0, 1.28], [0.94, 0, -0.54], [-0.94, 0, -0.54], [0.87, 0, 1.79], [-0.87, 0, 1.79]])
BENT = PLANAR + 0.08 * np.random.default_rng(1).normal(size=(6, 3))  # angstrom


def direction(seed):
    drawn = np.random.default_rng(seed).normal(size=(6, 3))
    return drawn / np.linalg.norm(drawn)


def casscf(positions=PLANAR, **changes):
    settings = dict(basis="STO-3G", charge=1, num_states=3, active_electrons=4, active_orbitals=[6, 7, 8])
    return CASSCFSurfaces(NUMBERS, positions, **settings | changes)


@pytest.fixture(scope="module")
def potential():
    return casscf()


def at(potential, positions, state=0, couplings=False):
    return potential.surfaces(np.asarray(positions)[None], np.array([state]), couplings=couplings)


@pytest.mark.parametrize("state", [0, 1, 2])
def test_forces_are_minus_the_slope_of_the_energy(potential, state):
    along, step = direction(2), 4e-3
    forces = at(potential, BENT, state).forces[0]
    slope = (at(potential, BENT + step * along).energies - at(potential, BENT - step * along).energies)[0, state]
    assert -(forces * along).sum() == pytest.approx(slope / (2 * step), abs=2e-3)  # eV/angstrom


def test_couplings_are_overlaps_of_neighbouring_states(potential):
    """<i(R - d)|j(R + d)>, the basis functions moving with their atoms to first order (translation factors)."""
    along, step = direction(3), 2e-3
    before, here, after = (potential._solved(BENT + each * along) for each in (-step, 0, step))
    coupling, energies = potential._derivatives(here, 0, state_pairs(3))[1], here.e_states
    overlap = _overlap(before, after)
    signs = np.sign(np.diagonal(_overlap(here, before))), np.sign(np.diagonal(_overlap(here, after)))
    overlap *= np.outer(*signs)
    found = 0.5 * (overlap - overlap.T) / (2 * step)
    for k, (i, j) in enumerate(state_pairs(3)):
        nac = coupling[k] / (energies[j] - energies[i]) / BOHR
        assert (nac * along).sum() == pytest.approx(found[i, j], abs=2e-3)
    assert np.abs(found).max() > 0.05


def _overlap(bra, ket):
    """<i|j> of two solvers, the overlap of their basis functions being the mean of theirs."""
    from pyscf.fci.addons import overlap as determinants

    functions = 0.5 * (bra.mol.intor("int1e_ovlp") + ket.mol.intor("int1e_ovlp"))
    inside = bra.ncore + bra.ncas
    orbitals = bra.mo_coeff[:, :inside].T @ functions @ ket.mo_coeff[:, :inside]
    core, active = slice(0, bra.ncore), slice(bra.ncore, inside)
    left = orbitals[active, active] - orbitals[active, core] @ np.linalg.solve(orbitals[core, core], orbitals[core, active])
    shared = np.linalg.det(orbitals[core, core]) ** 2
    return np.array([[shared * determinants(a, b, bra.ncas, bra.nelecas, left) for b in ket.ci] for a in bra.ci])


def test_couplings_move_no_centre_of_mass_and_turn_with_the_molecule(potential):
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    here, there = at(potential, BENT, 1, True), at(casscf(PLANAR @ turn), BENT @ turn + 3.0, 1, True)
    np.testing.assert_allclose(here.nac.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(there.energies, here.energies, atol=1e-5)
    np.testing.assert_allclose(there.forces, here.forces @ turn, atol=1e-4)
    for k in range(3):
        sign = np.sign(((here.nac @ np.eye(3))[0, :, k] @ turn * there.nac[0, :, k]).sum())
        np.testing.assert_allclose(sign * there.nac[0, :, k], here.nac[0, :, k] @ turn, atol=1e-3)
        np.testing.assert_allclose(sign * there.dipole[0, k], here.dipole[0, k] @ turn, atol=1e-3)


def test_gradients_and_couplings_are_those_of_pyscf(potential):
    found = at(potential, BENT, 1, True)
    solver = potential._solved(BENT)
    gradient = solver.nuc_grad_method().kernel(state=1)
    np.testing.assert_allclose(found.forces[0], -gradient * HARTREE / BOHR, atol=1e-4)
    coupling = solver.nac_method().kernel(state=(2, 1), use_etfs=True, mult_ediff=True)
    energies = np.array(solver.e_states)
    np.testing.assert_allclose(np.abs(found.nac[0, :, 2]), np.abs(coupling / (energies[2] - energies[1]) / BOHR), atol=1e-3)


def test_a_larger_active_space_holds_singlets_only():
    large = casscf(active_electrons=4, active_orbitals=4, num_states=2)
    solver = large._solved(BENT)
    from pyscf.fci import spin_op

    assert max(spin_op.spin_square0(each, 4, (2, 2))[0] for each in solver.ci) < 1e-6
    forces, step = at(large, BENT, 1).forces[0], np.zeros((6, 3))
    step[1, 2] = 4e-3
    slope = (at(large, BENT + step).energies - at(large, BENT - step).energies)[0, 1] / 8e-3
    assert -forces[1, 2] == pytest.approx(slope, abs=5e-3)


def test_trajectories_conserve_energy_and_go_on_with_their_orbitals(tmp_path):
    """The native file of a run in two parts: its energies, couplings and signs are continuous."""
    potential = casscf(memory=tmp_path / "run.orbitals.npz")
    velocities = 0.004 * np.random.default_rng(5).normal(size=(1, 6, 3))  # angstrom/fs
    initial = InitialConditions(BENT[None], velocities, np.array([1]), "here")
    settings = HoppingSettings(timestep=0.1, decoherence=None, seed=1)
    about = {"level_of_theory": potential.level_of_theory, "program": potential.program, "charge": 1}
    run_namd(potential, initial, out=tmp_path / "run", time=0.3, settings=settings, about=about)
    again = casscf(memory=tmp_path / "run.orbitals.npz")
    run_namd(again, out=tmp_path / "run", time=0.6, resume=True)

    dataset = HDF5Dataset(tmp_path / "run" / "trajectories.h5")
    system = dataset.systems[0]
    assert (system.name, system.charge, system.level_of_theory) == ("CH4N_charge+1", 1.0, "SA3-CASSCF(4,3)/STO-3G")
    rows = np.arange(len(dataset))
    active = system.read("active_state").astype(int)
    total = system.read("energy")[rows, active] + system.read("kinetic_energy")
    assert len(dataset) == 7 and np.ptp(total) < 5e-3  # eV
    nac = system.read("nac")
    length = np.linalg.norm(nac, axis=(1, 3))
    turned = np.einsum("fapx,fapx->fp", nac[1:], nac[:-1]) / (length[1:] * length[:-1])
    assert turned.min() > 0.9


def test_a_geometry_that_fails_stops_its_trajectory_only(potential, monkeypatch):
    from mlff.dynamics.namd import casscf as module

    dynamics = SurfaceHopping(potential, HoppingSettings(timestep=0.25))
    swarm = dynamics.start(np.stack([BENT, PLANAR]), np.zeros((2, 6, 3)), 1)
    solved = potential._solved

    def fails(positions):
        if positions[0, 0] == pytest.approx(BENT[0, 0], abs=0.01):
            raise module._Failure("the wave function did not converge")
        return solved(positions)

    monkeypatch.setattr(potential, "_solved", fails)
    swarm = dynamics.step(swarm)
    assert swarm.stopped.tolist() == ["energies or forces are not finite", ""]
    assert potential.failures[-1] == "the wave function did not converge"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"charge": 0}, "even number"),
        ({"active_electrons": 3}, "no active space"),
        ({"active_orbitals": [6, 7, 99]}, "active_orbitals"),
        ({"active_orbitals": [7, 8, 9]}, "active_orbitals"),
        ({"basis": "6-99Q"}, "6-99Q"),
        ({"num_states": 1}, "num_states"),
    ],
)
def test_what_does_not_exist_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        casscf(**changes)


def test_orbitals_of_another_molecule_are_refused(tmp_path):
    file = tmp_path / "orbitals.npz"
    casscf(memory=file)
    with pytest.raises(ValueError, match="not those of this molecule"):
        casscf(memory=file, basis="6-31G")
    file.write_bytes(b"no zip")
    with pytest.raises(ValueError, match="cannot be read"):
        casscf(memory=file)
