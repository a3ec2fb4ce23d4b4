"""The settings of a potential: its model, elements, electronic states, and what it knows about them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from itertools import combinations, combinations_with_replacement
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationInfo, model_validator

from ..graph import GraphConfig
from ..models import MAX_ATOMIC_NUMBER, ModelConfig, model_config

Pair = tuple[int, int]


def _checked_model(value: Any) -> ModelConfig:
    if isinstance(value, ModelConfig):
        return value
    options = dict(value)
    return model_config(options.pop("name", ""), **options)


def _given_graph(value: Any, info: ValidationInfo) -> Any:
    """How atoms are connected: as was given, else as the model has it."""
    if value is None and "model" in info.data:
        return info.data["model"].default_graph
    return value or GraphConfig()


class PotentialConfig(BaseModel):
    """All of a potential but its weights.

    Pairs of states are (i, j), i < j, from 0; for dipoles i = j is the permanent one of a state. State k is row k of the data
    that the potential learns; where `multiplicities` differ, the states of each are in the order of their energies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[SerializeAsAny[ModelConfig], BeforeValidator(_checked_model)]
    graph: Annotated[GraphConfig, BeforeValidator(_given_graph), Field(validate_default=True)] = None  # type: ignore[assignment]
    """Which of the pairs within the cutoff connect atoms; by default as the model has it (``default_graph``)."""
    num_states: int = Field(default=1, ge=1)
    species: tuple[int, ...]
    """Atomic numbers that the potential was trained on; it is asked about no others."""
    atomic_energies: dict[int, float]
    """Reference energy of an atom of each element, eV; the same for all states."""
    scale: float = Field(default=1.0, gt=0)
    """What the network's output is multiplied by, eV; the RMS of the forces in eV/Å is a good choice."""
    zbl: bool = False
    """Add the screened nuclear repulsion of Ziegler, Biersack and Littmark at short distances."""
    multiplicities: tuple[int, ...] | None = None
    """2S + 1 of each state; None: not known, all alike."""
    state_labels: tuple[str, ...] | None = None
    parities: tuple[int, ...] | None = None
    """1 or -1 of each state: whether it keeps its sign under the reflection in the molecule's plane of symmetry. Pairs of
    opposite parity have axial couplings and transition dipoles, and pseudo-scalar diabatic elements. None: all 1."""
    surfaces: Literal["separate", "diabatic"] = "separate"
    """Energies as S outputs of one network, or as eigenvalues of a symmetric matrix of each structure."""
    couplings: Literal["interstate", "direct"] | None = None
    """What a head learns: <i|dH/dR|j>, or <i|d/dR|j>; each gives the other by the gap. Diabatic surfaces have both already."""
    nac_pairs: tuple[Pair, ...] = ()
    """Pairs whose couplings are known; by default, with a head or diabatic surfaces, all of equal multiplicity."""
    dipole_pairs: tuple[Pair, ...] = ()
    soc_pairs: tuple[Pair, ...] = ()
    total_charge: float = 0.0
    """e; what a permanent dipole's charges sum to."""
    labelled_atoms: tuple[int, ...] | None = None
    """Atomic numbers of the one molecule that the potential is for, in order, when like atoms are told apart by their place.

    None: like atoms are alike, as in nature, and exchanging them changes nothing. But states have signs, and where a rotation
    brings like atoms into each other's places and changes the sign of one state of a pair (B1 with A1 in C2v, B3u with B2u in
    D2h), no element of that pair that is a function of the alike can be other than zero at the symmetric geometry; parity
    knows of reflections alone. Labelled atoms have no such limit, and energies that are symmetric as far as was learned."""

    @model_validator(mode="before")
    @classmethod
    def _all_pairs(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("nac_pairs"):
            if values.get("couplings") is not None or values.get("surfaces") == "diabatic":
                return values | {"nac_pairs": alike_pairs(values.get("num_states", 1), values.get("multiplicities"))}
        return values

    @model_validator(mode="after")
    def _states_fit(self) -> PotentialConfig:
        for name in ("multiplicities", "state_labels", "parities"):
            value = getattr(self, name)
            if value is not None and len(value) != self.num_states:
                raise ValueError(f"`{name}` is {list(value)}, but there are {self.num_states} states; give one for each")
        if self.multiplicities is not None and min(self.multiplicities) < 1:
            raise ValueError(f"`multiplicities` is {list(self.multiplicities)}; a multiplicity is 2S + 1, 1 or more")
        if self.parities is not None and not set(self.parities) <= {1, -1}:
            raise ValueError(f"`parities` is {list(self.parities)}; a parity is 1 or -1")
        if self.surfaces == "diabatic" and self.couplings is not None:
            raise ValueError(f"`couplings` is {self.couplings!r}, but diabatic surfaces have their couplings from the matrix; "
                             f"leave `couplings` out, or take `surfaces: separate`")
        _check_pairs("nac_pairs", self.nac_pairs, self.num_states, permanent=False)
        _check_pairs("dipole_pairs", self.dipole_pairs, self.num_states, permanent=True)
        _check_pairs("soc_pairs", self.soc_pairs, self.num_states, permanent=False)
        for name in ("nac_pairs", "dipole_pairs"):
            forbidden = [pair for pair in getattr(self, name) if not self.alike(*pair)]
            if forbidden:
                raise ValueError(f"`{name}` has {forbidden[0]}, whose states differ in multiplicity: nothing but spin-orbit "
                                 f"coupling connects them")
        if self.surfaces == "diabatic" and self.nac_pairs != alike_pairs(self.num_states, self.multiplicities):
            raise ValueError(f"`nac_pairs` is {self.nac_pairs}; diabatic surfaces couple all pairs of equal multiplicity, in "
                             f"order: leave it out")
        if self.surfaces == "separate" and self.nac_pairs and self.couplings is None:
            raise ValueError("`nac_pairs` was given without `couplings`; say 'interstate' (the better choice near conical "
                             "intersections) or 'direct'")
        if self.couplings is not None and not self.nac_pairs:
            raise ValueError(f"`couplings` is {self.couplings!r}, but no two of the states have the same multiplicity")
        self._check_spin_orbit()
        self.graph.check_elements(self.species)
        self._check_topological()
        if self.labelled_atoms is not None and not 1 <= len(self.labelled_atoms) <= MAX_ATOMIC_NUMBER:
            raise ValueError(f"`labelled_atoms` has {len(self.labelled_atoms)} atoms; expected 1 to {MAX_ATOMIC_NUMBER}")
        return self

    def _check_topological(self) -> None:
        """What makes energies depend on positions goes with models that let them."""
        at_odds = {"zbl": self.zbl, "surfaces: diabatic": self.surfaces == "diabatic"}
        if self.model.topological and any(at_odds.values()):
            first = next(name for name, asked in at_odds.items() if asked)
            name = self.model.model_dump()["name"]
            raise ValueError(f"the model {name} knows which atoms are connected, not where they are, so that its energies are "
                             f"those of a molecule in any conformation; `{first}` is for models of geometries: leave it out, "
                             f"or take another model, such as painn")

    def _check_spin_orbit(self) -> None:
        if self.soc_pairs and self.multiplicities is None:
            raise ValueError("`soc_pairs` needs `multiplicities`: spin-orbit coupling connects states by their spin")
        for i, j in self.soc_pairs:
            a, b = self.multiplicities[i], self.multiplicities[j]  # type: ignore[index]
            if abs(a - b) not in (0, 2) or a == b == 1:
                raise ValueError(f"`soc_pairs` has {(i, j)} with the multiplicities {a} and {b}: spin-orbit coupling connects "
                                 f"spins that differ by one, or are equal and not zero")

    def discontinuity(self) -> str | None:
        """A sentence that says where energies jump for the way in which atoms are connected; None where it is no news."""
        return None if self.model.topological else self.graph.discontinuity()

    def warn_of_discontinuity(self) -> None:
        """Warn whoever called the caller where energies jump, which dynamics and optimisations suffer from."""
        if (jumps := self.discontinuity()) is not None:
            warnings.warn(jumps, stacklevel=3)

    def alike(self, i: int, j: int) -> bool:
        """Whether two states have the same multiplicity, as far as is known."""
        return self.multiplicities is None or self.multiplicities[i] == self.multiplicities[j]

    def odd(self, pairs: Iterable[Pair]) -> tuple[bool, ...]:
        """Whether the states of each pair are of opposite parity."""
        return tuple(self.parities is not None and self.parities[i] != self.parities[j] for i, j in pairs)

    @property
    def all_dipole_pairs(self) -> tuple[Pair, ...]:
        """All pairs i <= j of states of the same multiplicity, in order."""
        states = range(self.num_states)
        return tuple(pair for pair in combinations_with_replacement(states, 2) if self.alike(*pair))

    @property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """States of the same multiplicity."""
        given = self.multiplicities or (1,) * self.num_states
        return tuple(tuple(k for k, each in enumerate(given) if each == m) for m in dict.fromkeys(given))


class ElectronicSettings(TypedDict, total=False):
    """What `PotentialConfig` may be told of the states, and of atoms that are told apart."""

    multiplicities: tuple[int, ...] | None
    state_labels: tuple[str, ...] | None
    parities: tuple[int, ...] | None
    surfaces: Literal["separate", "diabatic"]
    couplings: Literal["interstate", "direct"] | None
    nac_pairs: tuple[Pair, ...]
    dipole_pairs: tuple[Pair, ...]
    soc_pairs: tuple[Pair, ...]
    total_charge: float
    labelled_atoms: tuple[int, ...] | None


def alike_pairs(num_states: int, multiplicities: Iterable[int] | None = None) -> tuple[Pair, ...]:
    """All pairs i < j of states of the same multiplicity, in order."""
    given = [1] * num_states if multiplicities is None else list(multiplicities)
    return tuple((i, j) for i, j in combinations(range(len(given)), 2) if given[i] == given[j])


def _check_pairs(name: str, pairs: tuple[Pair, ...], num_states: int, *, permanent: bool) -> None:
    for i, j in pairs:
        if not 0 <= i <= j < num_states or (i == j and not permanent):
            order = "i <= j" if permanent else "i < j"
            raise ValueError(f"`{name}` has {(i, j)}; a pair is (i, j) with {order} out of the states 0 to {num_states - 1}")
    if len(set(pairs)) != len(pairs):
        raise ValueError(f"`{name}` has a pair twice: {list(pairs)}")
