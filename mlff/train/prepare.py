"""What a run begins with: the frames of each part of the split, checked, and a potential fitted to their scale."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols

from mlff.data import HDF5Dataset
from mlff.data.selection import spread
from mlff.data.statistics import fit_atomic_energies, force_rms
from mlff.datasets import EMBEDDED
from mlff.models import model_config
from mlff.potential.potential import Potential
from mlff.train.config import TrainConfig
from mlff.train.data_config import DataConfig
from mlff.train.denoise import NoisyLoader, check_denoising
from mlff.train.electronic import electronic_settings, trained_pairs
from mlff.train.filtering import Filtering, filter_parts
from mlff.train.loaders import BatchLoader
from mlff.train.loss_config import LossConfig
from mlff.train.metrics import check_states
from mlff.train.neighbors import with_average_neighbors

CENTRE_FRAMES = 256
"""Training frames that the first energies are centred on."""


@dataclass(frozen=True)
class RunData:
    """The data of a run."""

    dataset: HDF5Dataset
    split: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    """Indices of frames in the dataset; test may be empty."""
    states: tuple[int, ...]
    """The dataset's state behind each of the potential's."""
    state_labels: tuple[str, ...]
    level_of_theory: str
    filtering: Filtering
    """What `data.filter` left of the split."""
    noise: float | None = None
    """Å; where it is given the data are for denoising, and their energies and forces are not looked at."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of which frames are used for what and of their energies: tells whether a resumed run sees the same."""
        digest = hashlib.sha256(str(self.states).encode())
        for indices in (self.train, self.val, self.test):
            digest.update(len(indices).to_bytes(8, "little") + np.asarray(indices, dtype="<i8").tobytes())
        energy = read_energies(self.dataset, self.train)
        digest.update(np.ascontiguousarray(energy, dtype="<f8").tobytes())
        return digest.hexdigest()

    @property
    def description(self) -> dict[str, object]:
        """What a model trained on these data should tell of them (JSON values)."""
        return {
            "data": self.dataset.name, "split": self.split, "num_train": len(self.train), "states": list(self.states),
            "state_labels": list(self.state_labels), "level_of_theory": self.level_of_theory,
            **self.filtering.description, **({} if self.noise is None else {"denoising": {"noise": self.noise}}),
        }  # fmt: skip


def open_dataset(*paths: str) -> HDF5Dataset:
    """The dataset in a file, or in several as one; the words of `EMBEDDED` stand for files of the package."""
    for path in paths:
        if path not in EMBEDDED and not Path(path).is_file():
            raise ValueError(f"there is no data file `{path}`; make one with `mlff data import`, or give the word "
                             f"`azobenzene`, `chno` or `ch2nh2` for a data set inside the package")
    if not set(paths) & EMBEDDED.keys():
        return HDF5Dataset(paths)
    return HDF5Dataset([EMBEDDED[path]().path if path in EMBEDDED else path for path in paths])


def choose_split(dataset: HDF5Dataset, name: str | None) -> str:
    """The name of the split to use: the one asked for, else ``time``, else ``given`` (by the source), else the only one."""
    for usual in ("time", "given"):
        if name is None and usual in dataset.splits:
            return usual
    if name is None and len(dataset.splits) > 1:
        raise ValueError(f"`{dataset.files}` has the splits {', '.join(dataset.splits)}; choose one with --split")
    if name is None and not dataset.splits:
        lacks = "has no split" if len(dataset.paths) == 1 else "have no common split"
        make = " and ".join(f"`mlff data split {path} --by time`" for path in dataset.paths)
        raise ValueError(f"`{dataset.files}` {lacks} into train, val and test; make one with {make}")
    chosen = dataset.splits[0] if name is None else name
    dataset.split(chosen)
    return chosen


def prepare_data(config: DataConfig, loss: LossConfig) -> RunData:
    """Open the data and check that they hold what the run needs.

    Raises:
        ValueError: no frames, no such state, no references for a quantity with a weight, elements seen in val or test only,
            a filter that the data cannot answer or no frame meets.
    """
    dataset = open_dataset(*config.paths)
    split = choose_split(dataset, config.split)
    parts = dataset.split(split)
    for part in ("train", "val"):
        if len(parts[part]) == 0:
            raise ValueError(f"the split `{split}` of `{dataset.files}` has no {part} frames; make one that has with "
                             f"`mlff data split`")
    parts, filtering = filter_parts(dataset, parts, config.filter)
    train, val, test = (
        spread(parts[part], count)
        for part, count in (("train", config.num_train), ("val", config.num_val), ("test", config.num_test))
    )
    states = tuple(range(dataset.num_states)) if config.states is None else config.states
    if config.noise is not None:
        check_denoising(config, loss)
        states = (0,)
    check_states(len(states), dataset.num_states, states)
    owners = {
        part: np.unique(dataset.locate(indices)[0]) for part, indices in (("train", train), ("val", val), ("test", test))
    }
    used = [dataset.systems[k] for k in owners["train"]]
    for quantity in ("energy", "forces", "stress"):
        if config.noise is None and getattr(loss, quantity) > 0 and not any(system.has(quantity) for system in used):
            raise ValueError(f"`loss.{quantity}` is {getattr(loss, quantity)}, but the training frames of `{dataset.files}` "
                             f"have no {quantity}; set `loss.{quantity}=0`, or import the data again with {quantity}")
    known = {int(z) for system in used for z in system.atomic_numbers}
    for part in ("val", "test"):
        unseen = {int(z) for k in owners[part] for z in dataset.systems[k].atomic_numbers} - known
        if unseen:
            raise ValueError(f"the {part} frames of split `{split}` hold the elements Z = {sorted(unseen)}, which no training "
                             f"frame has; make another split")
    most = max(dataset.systems, key=lambda system: system.num_states)
    levels = dict.fromkeys(system.level_of_theory for system in used if system.level_of_theory)
    if config.noise is not None:
        return RunData(dataset, split, train, val, test, states, ("noise",), "", filtering, config.noise)
    labels = tuple(most.state_labels[state] or f"state {state}" for state in states)
    return RunData(dataset, split, train, val, test, states, labels, ", ".join(levels), filtering)


def read_energies(dataset: HDF5Dataset, indices: np.ndarray) -> np.ndarray:
    """Energies of frames, eV, float64 ``[B,S]``; NaN where missing."""
    owners, rows = dataset.locate(indices)
    energies = np.full((len(indices), dataset.num_states), np.nan)
    for k in np.unique(owners):
        system, places = dataset.systems[k], np.flatnonzero(owners == k)
        if system.has("energy"):
            values = system.read("energy", rows[places])
            if system.has("energy_valid"):
                values = np.where(system.read("energy_valid", rows[places]), values, np.nan)
            energies[places[:, None], np.arange(system.num_states)] = values
    return energies


def build_potential(config: TrainConfig, data: RunData, dtype: torch.dtype) -> Potential:
    """A fresh potential for the data, its weights drawn from torch's global generator.

    Atomic reference energies are those of the configuration or a least-squares fit to the training frames; the scale of
    the network's output is that of what is learned (`_scale`). For denoising the references are zero and the scale is that of
    the target, 1 eV.
    """
    owners = np.unique(data.dataset.locate(data.train)[0])
    species = sorted({int(z) for k in owners for z in data.dataset.systems[k].atomic_numbers})
    given = config.potential.atomic_energies
    if data.noise is not None:
        energies, rms = dict.fromkeys(species, 0.0), 1.0
    else:
        energies = _fit(data, species, config.loss.energy) if given == "fit" else _given(given, species)
        rms = _scale(data, energies, forces=config.loss.forces > 0)
    name, options = config.model["name"], {key: value for key, value in config.model.items() if key != "name"}
    return Potential.build(
        with_average_neighbors(model_config(name, **options), config.graph, data.dataset, data.train),
        species=species,
        atomic_energies=energies,
        num_states=len(data.states),
        scale=rms if np.isfinite(rms) and rms > 0 else 1.0,
        zbl=config.potential.zbl,
        graph=config.graph,
        **electronic_settings(config.potential, data),
    ).to(dtype)


def _scale(data: RunData, energies: Mapping[int, float], *, forces: bool) -> float:
    """RMS of the training forces, or, where these are not learned, of what an atom adds to the energies of its structure beyond
    its reference energy: what is left of the total over the root of the number of atoms, around the mean of each state, eV.

    Forces would mislead where only energies are learned: those of minima are zero.
    """
    if forces:
        return float(force_rms(data.dataset, data.train))
    owners, _ = data.dataset.locate(data.train)
    totals = read_energies(data.dataset, data.train)[:, list(data.states)]
    numbers = [data.dataset.systems[k].atomic_numbers for k in owners]
    references = np.array([sum(energies[int(z)] for z in each) for each in numbers])
    left = totals - references[:, None]
    if not np.isfinite(left).any():
        return 1.0
    return float(np.sqrt(np.nanmean((left - np.nanmean(left, axis=0)) ** 2 / [[len(each)] for each in numbers])))


def make_loader(config: TrainConfig, data: RunData, potential: Potential, device: torch.device) -> BatchLoader:
    """What reads the frames of a run: with their energies and forces, or with noise to be found."""
    if data.noise is None:
        pairs = trained_pairs(config, potential.config, data)
        return BatchLoader(
            data.dataset, potential.cutoff, states=data.states, pairs=pairs, device=device, dtype=potential.dtype
        )  # fmt: skip
    return NoisyLoader(data.dataset, potential.cutoff, data.noise, config.seed, device=device, dtype=potential.dtype)


@torch.no_grad()
def centre_energies(potential: Potential, loader: BatchLoader, indices: np.ndarray, *, trained: bool = False) -> None:
    """Set the biases of the last layer so that a fresh potential is right on average, for each state.

    Without it the first steps go into an offset of several eV: the random network's own, and that of excited states,
    which share their reference energies with the ground state. Least squares on some of the training frames. A bias that is
    frozen stays. A fresh diabatic matrix gets its diagonal from the energies, and elements beside it that vanish on average;
    one that was `trained` before is moved as a whole, which leaves its eigenvectors alone.
    """
    bias = potential.head.network[-1].get_parameter("bias")
    if not bias.requires_grad:
        return
    residuals, sizes, beside = [], [], []
    for chosen in np.array_split(spread(indices, CENTRE_FRAMES), CENTRE_FRAMES // 16):
        if len(chosen) == 0:
            continue
        graph, targets = loader.load(chosen)
        if "energy" not in targets.values:
            continue
        valid = targets.valid["energy"].double()
        result = potential(graph, forces=False)
        energy, matrix = result["energy"], result.get("diabatic_energy")
        if matrix is not None and not trained:
            energy = matrix.diagonal(dim1=1, dim2=2)
            i, j = (list(states) for states in zip(*potential.config.nac_pairs))
            beside.append(matrix[:, i, j] / targets.num_atoms[:, None])
        residuals.append((targets.values["energy"] - energy) * valid)
        sizes.append(targets.num_atoms[:, None] * valid)
    if sizes:
        residual, size = torch.cat(residuals), torch.cat(sizes)
        states = None if potential.config.surfaces == "diabatic" and trained else 0
        shift = ((residual * size).sum(states) / size.square().sum(states).clamp(min=1)).expand(potential.num_states)
        bias.add_((shift / potential.config.scale).to(bias.dtype))
    if beside and potential.diabatic_head is not None:
        even = [k for k, odd in enumerate(potential.config.odd(potential.config.nac_pairs)) if not odd]
        if even:  # pairs of opposite parity have pseudo-scalars, which have no bias
            off = potential.diabatic_head.get_parameter("readout.readouts.0.network.2.bias")
            off.sub_((torch.cat(beside).mean(0)[even] / potential.config.scale).to(off.dtype))


def _given(energies: Mapping[str, float], species: list[int]) -> dict[int, float]:
    """Reference energies by atomic number, from a user's by symbol (or atomic number as text)."""
    found: dict[int, float] = {}
    for symbol, energy in energies.items():
        number = int(symbol) if symbol.isdigit() else atomic_numbers.get(symbol.strip().capitalize())
        if number is None or not 1 <= number < len(chemical_symbols):
            raise ValueError(f"`potential.atomic_energies` names {symbol!r}, which is no element; write symbols, such as "
                             f"C: -54.1")
        found[number] = energy
    missing = [chemical_symbols[z] for z in species if z not in found]
    if missing:
        raise ValueError(f"`potential.atomic_energies` has no value for {', '.join(missing)}, which the training frames hold; "
                         f"give one for each element, or `fit`")
    return {z: found[z] for z in species}


def _fit(data: RunData, species: list[int], energy_weight: float) -> dict[int, float]:
    """Least-squares reference energies, one set for all states; zero where the frames have forces only."""
    energies = read_energies(data.dataset, data.train)[:, list(data.states)]
    if not np.isfinite(energies).any():
        if energy_weight > 0:
            raise ValueError(f"none of the training frames of `{data.dataset.files}` has an energy; set `loss.energy=0` to "
                             f"learn from forces alone")
        return dict.fromkeys(species, 0.0)
    owners, _ = data.dataset.locate(data.train)
    fitted = fit_atomic_energies([data.dataset.systems[k].atomic_numbers for k in owners], energies)
    return {z: fitted.get(z, 0.0) for z in species}
