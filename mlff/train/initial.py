"""Fine-tuning: a run's first weights are those of another model, and parts of them may stay as they are."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.data import chemical_symbols

from mlff.data.selection import spread
from mlff.data.statistics import fit_atomic_energies
from mlff.models import ALL, MAX_ATOMIC_NUMBER
from mlff.potential.checkpoint import load_potential, read_document
from mlff.potential.potential import Potential, PotentialConfig
from mlff.potential.pretrained import resolve
from mlff.train.loaders import BatchLoader

if TYPE_CHECKING:
    from mlff.train.config import TrainConfig
    from mlff.train.prepare import RunData

FIT_FRAMES = 1000
"""Training frames that the reference energies of a fine-tuned potential are fitted to, beside one for each element."""


def inherit(values: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration values with the settings that ``init_from`` decides: all of ``model``, and by default ``graph``,
    ``potential.zbl``, ``potential.surfaces`` and ``potential.parities``.

    A section ``model`` that names every setting, as the ``config.yaml`` of a run does, is left alone without opening the
    model: a run can be resumed where the model that it began from is gone.

    Raises:
        ValueError: no such model, or settings in ``model`` that are not those of it.
    """
    given = values.get("model") or {}
    given = {"name": given} if isinstance(given, str) else given
    if not isinstance(given, Mapping):
        return dict(values)
    known = ALL.get(str(given.get("name")))
    if known is not None and known[0].model_fields.keys() <= given.keys():
        return dict(values)
    stored = PotentialConfig.model_validate(read_document(resolve(values["init_from"]))["potential"])
    section = stored.model.model_dump(mode="json")
    _check_same(str(values["init_from"]), section, given)
    potential = values.get("potential") or {}
    if isinstance(potential, Mapping):
        potential = {"zbl": stored.zbl, "surfaces": stored.surfaces, "parities": stored.parities, **potential}
    graph = values.get("graph") or {}
    if isinstance(graph, Mapping) and "kind" not in graph:
        graph = {**stored.graph.model_dump(mode="json"), **graph}
    return {**values, "model": {**section, **given}, "graph": graph, "potential": potential}


def _check_same(init_from: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for key in given:
        if key in stored and given[key] != stored[key]:
            name = "model" if key == "name" else f"model.{key}"
            raise ValueError(f"`{name}` is {given[key]!r}, but the weights of `{init_from}` (`init_from`) were made for "
                             f"{stored[key]!r}; leave `{name}` out, as the architecture comes from there, or begin without "
                             f"`init_from`")


def begin_from(config: TrainConfig, data: RunData, fresh: Potential) -> tuple[Potential, list[str]]:
    """The potential of ``config.init_from``, fitted to the data of this run, and sentences that tell what was done.

    Every tensor whose shape fits is taken; what does not (the last layer for another number of states) stays as in `fresh`.
    The scale is that of `fresh`, and the last layer is divided by the change, so that the network's energies are those of the
    model. Reference energies move by the least-squares fit of what the model's energies leave of the training frames',
    the smallest such change: the run begins with the model's forces, and with energies that differ by what a change of
    elements' energies cannot mend. They stay those of `fresh` where ``potential.atomic_energies`` gives them.

    A model pre-trained by denoising gives its weights without that rescaling: its forces are displacements in units of their
    size, and this run's begin in units of the forces.

    Args:
        config: of this run, with ``init_from``.
        data: of this run.
        fresh: a new potential for them, whose settings and last layer are used.

    Raises:
        ValueError: no such model, one of another architecture, or frozen embeddings of elements that it does not know.
    """
    assert config.init_from is not None
    old = load_potential(config.init_from, dtype=fresh.dtype, denoising=True)
    stored = old.config
    _check_same(config.init_from, stored.model.model_dump(mode="json"), config.model)
    denoised = bool(read_document(resolve(config.init_from))["extra"].get("denoising"))
    tensors, held = fresh.state_dict(), old.state_dict()
    for name in tensors.keys() & held.keys():
        if tensors[name].shape == held[name].shape:
            tensors[name] = held[name]
    changed = [name for name in tensors if name in held and tensors[name].shape != held[name].shape]
    new = [name for name in changed if name.startswith("head.")]
    messages = [f"Begins with the weights of {config.init_from}"]
    if new:
        messages.append(f"New are {', '.join(new)}: the model has {_states(stored.num_states)}, the data "
                        f"{_states(fresh.num_states)}")
    heads = {name.partition(".")[0] for name in (*(tensors.keys() ^ held.keys()), *changed)} - {"head"}
    for head in sorted(heads):
        begun = any(name.startswith(f"{head}.") for name in tensors)
        messages.append(f"New is {head}, with random weights" if begun else f"Left out is {head}, which this run lacks")
    if (stored.surfaces, stored.graph) != (fresh.config.surfaces, fresh.config.graph):
        new.append("surfaces")  # the energies of the model are others than those of its weights here
    last = [name for name in tensors if name.startswith(_last_layer(fresh))]
    scaled = stored.surfaces == "diabatic" or stored.couplings is not None  # heads whose outputs the scale multiplies, too
    kept = not new and not denoised and (scaled or any(matches(name, config.freeze) for name in last))
    settings = fresh.config.model_copy(update={"scale": stored.scale}) if kept else fresh.config
    if not (new or denoised or kept):
        for name in last:
            tensors[name] = tensors[name] * (stored.scale / settings.scale)
    unseen = [z for z in fresh.species if z not in stored.species]
    if unseen:
        messages.append(f"It never saw {_symbols(unseen)} (it knows {_symbols(stored.species)}): what it has for "
                        f"{'them' if len(unseen) > 1 else 'it'} is random and is learned in this run alone")
        rows = [name for name in tensors if len(tensors[name]) == MAX_ATOMIC_NUMBER + 1]
        if frozen := [name for name in rows if matches(name, config.freeze)]:
            raise ValueError(f"`{config.init_from}` never saw {_symbols(unseen)}, and `freeze` would keep the embedding of "
                             f"elements ({', '.join(frozen)}) random; leave it out of `freeze`")
    says_energies = not (denoised or new)  # otherwise reference energies are those of new weights
    if says_energies and config.potential.atomic_energies == "fit" and config.data.noise is None:
        start = {z: stored.atomic_energies.get(z, 0.0) for z in fresh.species}
        guess = _with(settings.model_copy(update={"atomic_energies": start}), tensors, fresh)
        change = _remaining_energies(guess, data)
        settings = settings.model_copy(update={"atomic_energies": {z: start[z] + change.get(z, 0.0) for z in start}})
        if change:
            largest = max(change, key=lambda z: abs(change[z]))
            messages.append(f"Reference energies were fitted anew: the largest change is {change[largest]:+.4f} eV an atom, "
                            f"of {_symbols([largest])}")
    return _with(settings, tensors, fresh), messages


def freeze(potential: Potential, patterns: Sequence[str]) -> str | None:
    """Keep parameters from being trained; say how many.

    Args:
        potential: whose parameters are meant.
        patterns: beginnings of their names, whole words: ``model.embedding``, ``head``.

    Returns:
        A sentence with the counts; None without patterns.

    Raises:
        ValueError: a pattern that no parameter begins with (with those that are near), or nothing left to train.
    """
    if not patterns:
        return None
    names = [name for name, _ in potential.named_parameters()]
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in names):
            prefixes = list(dict.fromkeys(name.rsplit(".", k)[0] for name in names for k in range(name.count(".") + 1)))
            near = difflib.get_close_matches(pattern, prefixes, 3, 0.5)
            top = sorted({".".join(name.split(".")[:2]) for name in names})
            hint = f"did you mean {' or '.join(f'`{each}`' for each in near)}?" if near else f"there are {', '.join(top)}"
            raise ValueError(f"`freeze`: no parameter of this model begins with `{pattern}`; {hint}")
    frozen = total = 0
    for name, parameter in potential.named_parameters():
        total += parameter.numel()
        if matches(name, patterns):
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    if frozen == total:
        raise ValueError(f"`freeze` ({', '.join(patterns)}) keeps all {total:,} parameters as they are, so that there is "
                         f"nothing to train; leave some out")
    return f"Frozen: {frozen:,} of {total:,} parameters ({', '.join(patterns)})"


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a parameter's name is one of the patterns or begins with one and a point."""
    return any(name == pattern or name.startswith(f"{pattern}.") for pattern in patterns)


@torch.no_grad()
def _remaining_energies(potential: Potential, data: RunData) -> dict[int, float]:
    """Energy of each element, eV, that brings the potential's energies to the training frames' by least squares.

    The solution of minimum norm, that is the smallest change, where the compositions do not determine it; empty where the
    frames have no energies.
    """
    owners, _ = data.dataset.locate(data.train)
    used = np.unique(owners)
    numbers = {int(k): data.dataset.systems[k].atomic_numbers for k in used}
    holders = {z: next(k for k in numbers if z in numbers[k]) for z in potential.species}
    extra = [int(np.flatnonzero(owners == k)[0]) for k in sorted(set(holders.values()))]
    chosen = np.union1d(spread(data.train, FIT_FRAMES), data.train[extra])
    loader = BatchLoader(data.dataset, potential.cutoff, states=data.states, dtype=potential.dtype, cache_bytes=0)
    compositions, left = [], []
    potential = potential.eval()
    for batch in np.array_split(chosen, -(-len(chosen) // 32)):
        graph, targets = loader.load(batch)
        if "energy" not in targets.values:
            return {}
        residual = targets.values["energy"] - potential(graph, forces=False)["energy"]
        left.append(residual.masked_fill(~targets.valid["energy"], torch.nan).numpy())
        compositions += [numbers[int(k)] for k in data.dataset.locate(batch)[0]]
    energies = np.concatenate(left)
    if not np.isfinite(energies).any():
        return {}
    with warnings.catch_warnings(action="ignore"):  # the fit of the fresh potential has told what is undetermined
        return dict(fit_atomic_energies(compositions, energies))


def _with(settings: PotentialConfig, tensors: dict[str, torch.Tensor], fresh: Potential) -> Potential:
    potential = Potential(settings).to(fresh.dtype)
    potential.load_state_dict(tensors)
    return potential


def _last_layer(potential: Potential) -> str:
    return f"head.network.{len(potential.head.network) - 1}."


def _states(number: int) -> str:
    return f"{number} state{'s' * (number > 1)}"


def _symbols(numbers: Sequence[int]) -> str:
    return ", ".join(chemical_symbols[z] for z in numbers)
