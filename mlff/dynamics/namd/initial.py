"""Initial conditions of an ensemble: positions, velocities and start states of every trajectory."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from mlff.data.dataset import HDF5Dataset
from mlff.data.schema import is_native
from mlff.dynamics.relax import run_relaxation
from mlff.dynamics.structures import read_structure
from mlff.dynamics.vibrations import NormalModes, normal_modes
from mlff.units import ASE_VELOCITY, BOLTZMANN, KINETIC

from .excitation import oscillator_strengths, pick_excitations
from .harmonic import SOFTEST, num_soft, sample_harmonic, without_rotation

if TYPE_CHECKING:
    from .surfaces import MultiStatePotential

Floats = NDArray[np.float64]


@runtime_checkable
class HasHessian(Protocol):
    """A potential that knows its second derivatives."""

    def hessian(self, positions: Floats, state: int) -> Floats:
        """eV/angstrom^2 ``[3N, 3N]`` of a state's energy at one geometry ``[N, 3]``."""


_GEOMETRY, _EXCITATION = 0, 1  # streams of random numbers
_STEP = 0.005  # angstrom, of differences of forces
_BLOCK = 256  # geometries that a potential is asked about at a time


@dataclass(frozen=True)
class InitialConditions:
    """T starts: positions (angstrom) and velocities (angstrom/fs) ``[T, N, 3]``, states ``[T]`` counted from 0."""

    positions: Floats
    velocities: Floats
    states: NDArray[np.int64]
    source: str
    """Where they are from, a sentence's end."""

    def __len__(self) -> int:
        return len(self.positions)


def find_minimum(potential: MultiStatePotential, positions: Floats, *, state: int = 0, fmax: float = 1e-3) -> Floats:
    """The positions, relaxed on a state until no force exceeds ``fmax`` (eV/angstrom).

    Raises:
        ValueError: no such state, or the forces do not converge in 1000 steps.
    """
    if not 0 <= state < potential.num_states:
        raise ValueError(f"`state` is {state}; the potential has the states 0 to {potential.num_states - 1}")
    atoms = Atoms(numbers=np.asarray(potential.atomic_numbers), positions=positions)
    atoms.calc = _StateCalculator(potential, state)
    found = run_relaxation(atoms, fmax=fmax, steps=1000)
    if not found.converged:
        raise ValueError(f"the structure does not relax on state {state}: after {found.num_steps} steps the largest force is "
                         f"{found.max_forces[-1]:.3g} eV/angstrom, above {fmax:g}; begin nearer to a minimum (--structure)")
    return found.atoms.get_positions()


def vibrations_of(potential: MultiStatePotential, positions: Floats, *, state: int = 0) -> NormalModes:
    """Normal modes at a minimum of a state: of a model by automatic differentiation, of other potentials by differences."""
    if isinstance(potential, HasHessian):
        second = potential.hessian(positions, state)
    else:
        second = difference_hessian(potential, positions, state)
    return normal_modes(second, potential.masses, positions)


def difference_hessian(potential: MultiStatePotential, positions: Floats, state: int) -> Floats:
    """Second derivatives of a state's energy, eV/angstrom^2 ``[3N, 3N]``, by central differences of its forces."""
    size = positions.size
    moves = _STEP * np.eye(size).reshape(size, *positions.shape)
    displaced = np.concatenate([positions + moves, positions - moves])
    forces = _in_blocks(potential, displaced, np.full(2 * size, state))[1]
    second = (forces[size:] - forces[:size]).reshape(size, size) / (2 * _STEP)
    return 0.5 * (second + second.T)


def from_minimum(
    potential: MultiStatePotential,
    positions: Floats,
    *,
    distribution: Literal["wigner", "thermal"],
    temperature: float,
    number: int,
    start_state: int,
    seed: int,
) -> InitialConditions:
    """Draw from the vibrations about a minimum of state 0: Wigner's distribution, or Boltzmann's (``thermal``).

    ``positions`` are relaxed first. Trajectory k is the same whatever ``number`` is.
    """
    minimum = find_minimum(potential, positions)
    modes = vibrations_of(potential, minimum)
    drawn = sample_harmonic(modes, minimum, temperature, _streams(seed, _GEOMETRY, number), classical=distribution == "thermal")
    name = "Wigner's" if distribution == "wigner" else "Boltzmann's"
    source = f"{name} distribution of {len(modes.frequencies)} vibrations ({modes.frequencies[0]:.0f} to " \
             f"{modes.frequencies[-1]:.0f} 1/cm) at {temperature:g} K"
    if soft := num_soft(modes):
        source += f", without {soft} below {SOFTEST:g} 1/cm"
    return InitialConditions(*drawn, np.full(number, start_state), source)


def from_frames(
    path: str | os.PathLike[str],
    potential: MultiStatePotential,
    *,
    temperature: float,
    number: int,
    start_state: int | None,
    seed: int,
) -> InitialConditions:
    """Frames of a native file, or of any file that ASE reads: all of them in order, or ``number`` drawn at random.

    Drawn are different frames while there are enough. Where frames have no velocities they are drawn from Maxwell and
    Boltzmann's distribution, without drift and rotation. A ``start_state`` of None keeps the frames' active states.

    Raises:
        ValueError: other atoms than the potential's, frames without the active state that was to be kept.
    """
    positions, velocities, states = _read_frames(Path(path), np.asarray(potential.atomic_numbers))
    rng = np.random.default_rng([seed, _GEOMETRY])
    order = np.arange(len(positions))
    if number != len(positions):
        order = np.concatenate([rng.permutation(len(positions)) for _ in range(-(-number // len(positions)))])[:number]
    positions, velocities, states = positions[order], velocities[order], states[order]
    source = f"{number} of {len(np.unique(order))} frames of {path}" if len(order) > len(np.unique(order)) else \
        f"{number} frames of {path}"
    resting = np.array([not np.isfinite(each).all() for each in velocities])
    if resting.any():
        width = np.sqrt(BOLTZMANN * temperature / (KINETIC * np.asarray(potential.masses)))[:, None]
        drawn = np.stack([width * each.standard_normal(positions.shape[1:]) for each in _streams(seed, 2, number)])
        velocities = np.where(resting[:, None, None], without_rotation(positions, drawn, potential.masses), velocities)
        source += f", velocities at {temperature:g} K" if resting.all() else \
            f", velocities of {resting.sum()} of them at {temperature:g} K"
    if start_state is not None:
        states = np.full(number, start_state)
    elif (states < 0).any():
        raise ValueError(f"{path} does not know the active states of its frames; say in which state to begin (--start-state)")
    return InitialConditions(positions, velocities, states, source)


def atoms_of(path: Path) -> np.ndarray:
    """Atomic numbers of the structures in a file, native or any that ASE reads; a ValueError of several molecules."""
    if not path.is_file():
        raise ValueError(f"`{path}` is neither `wigner` nor `thermal` nor a file of structures")
    if is_native(path):
        systems = HDF5Dataset(path).systems
        if len({tuple(each.atomic_numbers.tolist()) for each in systems}) != 1:
            raise ValueError(f"{path} holds {len(systems)} systems; a file of one molecule was expected")
        return systems[0].atomic_numbers.astype(np.int64)
    return read_structure(f"{path}").get_atomic_numbers()


def excite(
    potential: MultiStatePotential,
    candidates: InitialConditions,
    window: tuple[float, float],
    *,
    number: int,
    seed: int,
    start_state: int | None = None,
) -> InitialConditions:
    """The first ``number`` vertical excitations of the candidates that are accepted (see ``pick_excitations``).

    A potential without transition dipoles decides by the window alone, if ``start_state`` says which state it is about.
    """
    lowest = np.zeros(len(candidates), dtype=np.int64)
    energies, _, dipoles = _in_blocks(potential, candidates.positions, lowest, dipoles=True)
    strengths = None
    if dipoles is not None:
        from_lowest = np.nan_to_num(dipoles[:, : energies.shape[1] - 1])  # pairs (0, 1), (0, 2), ... come first
        strengths = np.zeros_like(energies)
        strengths[:, 1:] = oscillator_strengths(energies[:, 1:] - energies[:, :1], from_lowest)
    elif start_state is None:
        raise ValueError("the potential has no transition dipoles to pick states by; say in which state to begin "
                         "(--start-state)")
    rows, states = pick_excitations(
        energies, strengths, window, number, _streams(seed, _EXCITATION, len(candidates)), upper=start_state
    )
    how = "the energy window alone" if strengths is None else "oscillator strength"
    source = f"{candidates.source}; excited by {window[0]:g} to {window[1]:g} eV, picked by {how} among " \
             f"{len(candidates)} geometries"
    return replace(candidates, positions=candidates.positions[rows], velocities=candidates.velocities[rows], states=states,
                   source=source)


def _streams(seed: int, kind: int, number: int) -> list[np.random.Generator]:
    """A generator for each trajectory, which depends on nothing but the seed and its number."""
    return [np.random.default_rng([seed, kind, k]) for k in range(number)]


def _in_blocks(
    potential: MultiStatePotential, positions: Floats, states: np.ndarray, *, dipoles: bool = False
) -> tuple[Floats, Floats, Floats | None]:
    """Energies, forces and dipoles of many geometries."""
    spans = [slice(start, start + _BLOCK) for start in range(0, len(positions), _BLOCK)]
    found = [potential.surfaces(positions[span], states[span], couplings=dipoles) for span in spans]
    energies = np.concatenate([each.energies for each in found])
    if not np.isfinite(energies).all():
        raise ValueError("the potential's energies are not finite at some of the geometries to start from")
    known = [each.dipole for each in found if each.dipole is not None]
    return energies, np.concatenate([each.forces for each in found]), np.concatenate(known) if known else None


def _read_frames(path: Path, numbers: np.ndarray) -> tuple[Floats, Floats, np.ndarray]:
    """Positions, velocities (NaN unknown) and active states (-1 unknown) of all frames of a file."""
    if is_native(path):
        dataset = HDF5Dataset(path)
        systems = [each for each in dataset.systems if np.array_equal(each.atomic_numbers, numbers)]
        if len(systems) != 1:
            held = ", ".join(each.name for each in dataset.systems)
            raise ValueError(f"{path} has {len(systems)} systems with the model's atoms {_formula(numbers)} in their order (it "
                             f"has: {held}); one was expected")
        system = systems[0]
        positions = system.read("positions")
        velocities = system.read("velocities") if system.has("velocities") else np.full_like(positions, np.nan)
        states = system.read("active_state") if system.has("active_state") else np.full(len(positions), -1)
        return positions, velocities.astype(np.float64), states.astype(np.int64)
    if not path.is_file():
        raise ValueError(f"`{path}` is neither `wigner` nor `thermal` nor a file of structures")
    import ase.io

    try:
        with warnings.catch_warnings(action="ignore"):
            images = ase.io.read(path, ":")
    except Exception as error:  # each of ASE's readers raises its own kinds
        raise ValueError(f"`{path}` could not be read as structures: {error or type(error).__name__}") from error
    for image in images:
        if not np.array_equal(image.numbers, numbers):
            raise ValueError(f"`{path}` has a structure {_formula(image.numbers)}; the model's atoms are {_formula(numbers)}, "
                             f"in this order")
    if not images:
        raise ValueError(f"`{path}` holds no structure")
    velocities = np.stack([
        image.get_velocities() * ASE_VELOCITY if image.has("momenta") else np.full((len(numbers), 3), np.nan)
        for image in images
    ])  # fmt: skip
    return np.stack([image.get_positions() for image in images]), velocities, np.full(len(images), -1)


def _formula(numbers: np.ndarray) -> str:
    return str(Atoms(numbers=numbers).symbols)


class _StateCalculator(Calculator):
    """One state of a potential as a calculator of ASE."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, potential: MultiStatePotential, state: int) -> None:
        super().__init__()
        self.potential, self.state = potential, state

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        found = self.potential.surfaces(self.atoms.positions[None], np.array([self.state]), couplings=False)
        self.results = {"energy": float(found.energies[0, self.state]), "forces": np.asarray(found.forces[0])}
