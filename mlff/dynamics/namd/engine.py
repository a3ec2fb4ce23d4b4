"""Surface hopping: trajectories of a swarm, stepped together through one call of the potential a step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...units import KINETIC
from ..limits import check_disagreement_known, disagreement_sentence
from .couplings import curvature_couplings, vector_couplings
from .decoherence import decohere
from .electronic import ElectronicStep, hamiltonian, propagate
from .hops import choose_targets, momentum, opposes, rescaled, reversed_along
from .landau_zener import landau_zener_probabilities
from .random_numbers import HopNumbers
from .settings import HoppingSettings
from .surfaces import MultiStatePotential, Surfaces, pair_index, pair_matrix
from .swarm import FRUSTRATED, HOP, NO_HOP, Swarm, extended, fresh_history
from .tracking import follow, overlap_couplings, overlaps


class SurfaceHopping:
    """Steps a swarm of trajectories on the states of a potential; docs/dynamics.md has the equations::

        dynamics = SurfaceHopping(potential, HoppingSettings(timestep=0.5))
        swarm = dynamics.start(positions, velocities, states=2)
        for _ in range(200):
            swarm = dynamics.step(swarm)

    A step is a new swarm. A trajectory whose energy jumps, or where the potential fails, stops as it was before that step,
    one on which a committee disagrees after it, where it does; ``swarm.stopped`` says why, and the others go on.
    """

    def __init__(self, potential: MultiStatePotential, settings: HoppingSettings | None = None) -> None:
        self.potential = potential
        self.settings = settings or HoppingSettings()
        self.masses = np.asarray(potential.masses, dtype=np.float64)
        self._numbers = HopNumbers(self.settings.seed)
        self._pairs = pair_index(potential.num_states)

    def start(
        self,
        positions: np.ndarray,
        velocities: np.ndarray,
        states: int | np.ndarray,
        *,
        coefficients: np.ndarray | None = None,
        trajectories: np.ndarray | None = None,
    ) -> Swarm:
        """A swarm at step 0.

        Args:
            positions: angstrom ``[T, N, 3]``.
            velocities: angstrom/fs ``[T, N, 3]``.
            states: active states, one for all or ``[T]``, 0-based.
            coefficients: complex ``[T, S]``, of norm 1; the active states' own by default.
            trajectories: whole numbers ``[T]`` that random numbers belong to; 0, 1, ... by default.

        Raises:
            ValueError: shapes, states or numbers that do not fit the potential; a start where energies are not finite;
                settings that need what the potential does not give.
        """
        positions, velocities = np.array(positions, dtype=np.float64), np.array(velocities, dtype=np.float64)
        num_states, shape = self.potential.num_states, (len(self.masses), 3)
        if positions.ndim != 3 or positions.shape[1:] != shape or positions.shape != velocities.shape or not len(positions):
            raise ValueError(f"positions {positions.shape} and velocities {velocities.shape} do not fit; give both as "
                             f"[trajectories, {shape[0]}, 3]")
        count = len(positions)
        given = np.broadcast_to(np.asarray(states), count)
        if ((given < 0) | (given >= num_states)).any():
            raise ValueError(f"start states are {sorted({int(each) for each in given})}; the potential has the states 0 to "
                             f"{num_states - 1}")
        active = np.array(given, dtype=np.int64)
        numbers = np.arange(count) if trajectories is None else np.array(trajectories, dtype=np.int64)
        if numbers.shape != (count,) or (numbers < 0).any():
            raise ValueError(f"`trajectories` must be {count} whole numbers that are not negative")
        if coefficients is None:
            amplitudes = np.eye(num_states, dtype=np.complex128)[active]
        else:
            amplitudes = np.array(coefficients, dtype=np.complex128)
            if amplitudes.shape != (count, num_states) or not np.allclose(np.abs(amplitudes) ** 2 @ np.ones(num_states), 1):
                raise ValueError(f"`coefficients` must be [{count}, {num_states}] with rows of norm 1")
        surfaces = self.potential.surfaces(positions, active, couplings=self.settings.needs_nac)
        failed = ~_finite(surfaces)
        if failed.any():
            raise ValueError(f"energies or forces are not finite at the start of the trajectories "
                             f"{', '.join(map(str, numbers[failed][:5]))}; give other structures or another potential")
        self._check_abilities(surfaces)
        return Swarm(
            masses=self.masses, atomic_numbers=np.asarray(self.potential.atomic_numbers), trajectories=numbers,
            steps=np.zeros(count, dtype=np.int64), positions=positions, velocities=velocities, active=active,
            coefficients=amplitudes, surfaces=surfaces, history=fresh_history(surfaces.energies),
            hop=np.zeros(count, dtype=np.uint8), stopped=np.full(count, "", dtype="U200"),
        )  # fmt: skip

    def step(self, swarm: Swarm) -> Swarm:
        """The swarm one time step later."""
        running = swarm.running
        if running.all():
            return self._step(swarm)
        rows = np.flatnonzero(running)
        return swarm.with_rows(rows, self._step(swarm.select(rows))) if len(rows) else swarm

    def _step(self, swarm: Swarm) -> Swarm:
        """The same for trajectories all of which run."""
        new, places, reasons = self._move(swarm)
        unsure = np.flatnonzero((reasons == "") & self._is_unsure(new))
        if self.settings.max_disagreement is not None:
            reasons[unsure] = disagreement_sentence(self.settings.max_disagreement)
        going = np.flatnonzero(reasons == "")
        if len(going) == len(swarm):
            return self._hop(swarm, new, places)
        halted = replace(swarm, stopped=reasons, hop=np.zeros_like(swarm.hop))
        if len(unsure):
            halted = halted.with_rows(unsure, replace(new, stopped=reasons).select(unsure))
        if not len(going):
            return halted
        return halted.with_rows(going, self._hop(swarm.select(going), new.select(going), places[going]))

    def _move(self, swarm: Swarm) -> tuple[Swarm, np.ndarray, np.ndarray]:
        """Velocity Verlet on the active states, the places that the states have then, and why trajectories must stop."""
        timestep = self.settings.timestep
        per_mass = 0.5 * timestep / (KINETIC * self.masses[:, None])
        halfway = swarm.velocities + per_mass * swarm.surfaces.forces
        positions = swarm.positions + timestep * halfway
        surfaces = self.potential.surfaces(positions, swarm.active, couplings=self.settings.needs_nac)
        finite = _finite(surfaces)
        if not finite.all():  # these trajectories stop; until then they keep the numbers of the step before
            surfaces = surfaces.chosen(finite, swarm.surfaces)
        surfaces, places = follow(swarm.surfaces, surfaces, cross=self.settings.method == "fssh")
        active = np.take_along_axis(places, swarm.active[:, None], axis=1)[:, 0]
        surfaces = self._with_forces(surfaces, positions, active, np.flatnonzero(active != swarm.active))
        velocities = halfway + per_mass * surfaces.forces
        new = replace(
            swarm, steps=swarm.steps + 1, positions=positions, velocities=velocities, active=active, surfaces=surfaces,
            hop=np.where(active != swarm.active, HOP, NO_HOP).astype(np.uint8),
        )  # fmt: skip
        limit = self.settings.max_energy_jump
        reasons = np.where(finite, "", "energies or forces are not finite").astype(swarm.stopped.dtype)
        jumped = finite & (np.abs(new.total_energy - swarm.total_energy) > (np.inf if limit is None else limit))
        reasons[jumped] = f"the total energy jumped by more than {limit} eV in one step"
        return new, places, reasons

    def _is_unsure(self, swarm: Swarm) -> np.ndarray:
        """``[T]``: where a committee disagrees too much."""
        bound, disagreement = self.settings.max_disagreement, swarm.surfaces.disagreement
        return np.zeros(len(swarm), dtype=bool) if bound is None or disagreement is None else disagreement > bound

    def _hop(self, old: Swarm, new: Swarm, places: np.ndarray) -> Swarm:
        """The electrons of the step that led from `old` to `new`, and the hops that they call for."""
        settings = self.settings
        crossed = (places != np.arange(places.shape[1])).any(axis=1)
        energies = new.surfaces.energies
        history = np.where(crossed[:, None, None], fresh_history(energies), extended(old.history, energies))
        new = replace(new, history=history)
        if settings.method == "adiabatic":
            return new
        if settings.method == "lz":
            probabilities = landau_zener_probabilities(history, new.active, settings.timestep, self.potential.multiplicities)
        else:
            electrons = self._electrons(old, new, places)
            new = replace(new, coefficients=electrons.coefficients)
            probabilities = electrons.hop_probabilities
        numbers = self._numbers(new.trajectories, int(old.steps[0]))
        targets = choose_targets(probabilities, new.active, numbers)
        new = self._attempt(new, targets)
        if settings.method == "lz":
            return replace(new, coefficients=np.eye(self.potential.num_states, dtype=np.complex128)[new.active])
        if settings.decoherence is not None:
            decayed = decohere(new.coefficients, new.active, energies, new.kinetic_energy, settings.timestep,
                               settings.decoherence)
            new = replace(new, coefficients=decayed)
        return new

    def _electrons(self, old: Swarm, new: Swarm, places: np.ndarray) -> ElectronicStep:
        """The Schrodinger equation in the order that the states had at the start of the step, then in that of its end."""
        tdc_start, tdc_end = self._couplings(old), _in_order(self._couplings(new), places)
        if self.settings.couplings == "overlap":
            overlap = np.take_along_axis(overlaps(old.surfaces, new.surfaces), places[:, None], axis=2)
            tdc_start = tdc_end = overlap_couplings(overlap, self.settings.timestep)
        spin_start, spin_end = self._spin_orbit(old.surfaces), self._spin_orbit(new.surfaces)
        electrons = propagate(
            old.coefficients,
            old.active,
            hamiltonian(old.surfaces.energies, tdc_start, spin_start),
            hamiltonian(np.take_along_axis(new.surfaces.energies, places, axis=1), tdc_end,
                        None if spin_end is None else _in_order(spin_end, places)),
            self.settings.timestep,
            self.settings.substeps,
        )  # fmt: skip
        coefficients, probabilities = np.empty_like(electrons.coefficients), np.empty_like(electrons.hop_probabilities)
        np.put_along_axis(coefficients, places, electrons.coefficients, axis=1)
        np.put_along_axis(probabilities, places, electrons.hop_probabilities, axis=1)
        return ElectronicStep(coefficients, probabilities)

    def _couplings(self, swarm: Swarm) -> np.ndarray:
        """<i|d/dt|j>, 1/fs ``[T, S, S]``, at one step; zero where overlaps of two will tell."""
        num_states = self.potential.num_states
        if self.settings.couplings == "model":
            assert swarm.surfaces.nac is not None
            return vector_couplings(swarm.surfaces.nac, swarm.velocities, num_states)
        if self.settings.couplings == "curvature":
            return curvature_couplings(swarm.history, self.settings.timestep, self.potential.multiplicities)
        return np.zeros((len(swarm), num_states, num_states))

    def _spin_orbit(self, surfaces: Surfaces) -> np.ndarray | None:
        if surfaces.soc_magnitude is None or not self.settings.spin_hops:
            return None
        return pair_matrix(surfaces.soc_magnitude, self.potential.num_states, antisymmetric=False)

    def _attempt(self, swarm: Swarm, targets: np.ndarray) -> Swarm:
        """The swarm after hops to `targets` (``[T]``), those without enough energy marked frustrated."""
        rows = np.flatnonzero(targets != swarm.active)
        if not len(rows):
            return swarm
        wanted, own = targets[rows], swarm.active[rows]
        energies, direction = swarm.surfaces.energies[rows], self._direction(swarm, rows, targets)
        gain = energies[np.arange(len(rows)), wanted] - energies[np.arange(len(rows)), own]
        after, possible = rescaled(swarm.velocities[rows], self.masses, direction, gain)
        after[~possible] = self._frustrated(swarm, rows[~possible], wanted[~possible], direction[~possible])

        velocities, active, hop = swarm.velocities.copy(), swarm.active.copy(), swarm.hop.copy()
        velocities[rows] = after
        active[rows[possible]] = wanted[possible]
        hop[rows] = np.where(possible, HOP, FRUSTRATED)
        history = swarm.history.copy()
        changed = (velocities != swarm.velocities).any(axis=(1, 2))
        history[changed] = fresh_history(swarm.surfaces.energies[changed])
        surfaces = self._with_forces(swarm.surfaces, swarm.positions, active, rows[possible])
        return replace(swarm, velocities=velocities, active=active, hop=hop, history=history, surfaces=surfaces)

    def _direction(self, swarm: Swarm, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Along which a hop changes the momenta, ``[rows, N, 3]``."""
        along = momentum(swarm.velocities[rows], self.masses)
        if self.settings.rescale == "momentum":
            return along
        if swarm.surfaces.nac is None:
            nac = self.potential.surfaces(swarm.positions[rows], swarm.active[rows], couplings=True).nac
        else:
            nac = swarm.surfaces.nac[rows]
        if nac is None:
            return along
        vectors = nac[np.arange(len(rows)), :, self._pairs[swarm.active[rows], targets[rows]]]
        coupled = (vectors != 0).any(axis=(1, 2))  # states of different multiplicity have no vector
        return np.where(coupled[:, None, None], vectors, along)

    def _frustrated(self, swarm: Swarm, rows: np.ndarray, targets: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Velocities after hops that lack the energy."""
        velocities = swarm.velocities[rows]
        if self.settings.frustrated == "keep" or not len(rows):
            return velocities
        turned = reversed_along(velocities, self.masses, direction)
        if self.settings.frustrated == "reverse":
            return turned
        forces = self.potential.surfaces(swarm.positions[rows], targets, couplings=False).forces
        return np.where(opposes(forces, velocities, direction)[:, None, None], turned, velocities)

    def _with_forces(self, surfaces: Surfaces, positions: np.ndarray, active: np.ndarray, rows: np.ndarray) -> Surfaces:
        """The surfaces with the forces of other states in some trajectories."""
        if not len(rows):
            return surfaces
        forces = surfaces.forces.copy()
        forces[rows] = self.potential.surfaces(positions[rows], active[rows], couplings=False).forces
        return replace(surfaces, forces=forces)

    def _check_abilities(self, surfaces: Surfaces) -> None:
        settings = self.settings
        check_disagreement_known(settings.max_disagreement, surfaces.disagreement is not None)
        if settings.method != "fssh":
            return
        if settings.couplings == "model" and surfaces.nac is None:
            raise ValueError("the potential has no nonadiabatic couplings; use couplings='curvature', or method='lz'")
        if settings.couplings == "overlap" and surfaces.eigenvectors is None:
            raise ValueError("the potential gives no eigenvectors to take overlaps of; use couplings='model' or 'curvature'")


def _finite(surfaces: Surfaces) -> np.ndarray:
    """``[T]``: whether all of a geometry's numbers are finite."""
    arrays = (surfaces.energies, surfaces.forces, surfaces.nac, surfaces.soc_magnitude, surfaces.eigenvectors)
    finite = [np.isfinite(each).reshape(len(each), -1).all(axis=1) for each in arrays if each is not None]
    return np.logical_and.reduce(finite)


def _in_order(matrices: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``[T, S, S]`` matrices with rows and columns taken from `places`."""
    rows = np.arange(len(matrices))[:, None, None]
    return matrices[rows, places[:, :, None], places[:, None, :]]

