"""The section `potential` of the training configuration: what stands around the model, and what is learned of its states."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator, model_validator

from mlff.train.data_config import split_text
from mlff.train.section import Section


class PotentialSection(Section):
    """What stands around the model in the potential."""

    zbl: bool = True
    """Add the Ziegler-Biersack-Littmark repulsion of the nuclei, which keeps atoms apart where there are no data: it begins
    below 0.7 of the sum of two covalent radii, shorter than bonds."""
    atomic_energies: Literal["fit"] | dict[str, float] = "fit"
    """Reference energy of each element, eV: ``fit`` to the training frames by least squares, or ``{C: -54.1, H: -10.7}``."""
    surfaces: Literal["separate", "diabatic"] = "separate"
    """Several states: an output of the network for each, or eigenvalues of a matrix, which can cross and has couplings."""
    couplings: Literal["interstate", "direct"] | None = None
    """Learn the couplings between states, as <i|dH/dR|j>, which is smooth where states come close, or directly as <i|d/dR|j>.
    With diabatic surfaces, `interstate`: the matrix learns from the couplings of the data, too."""
    dipoles: bool = False
    """Learn the dipoles of states and of transitions."""
    soc: bool = False
    """Learn the magnitudes of spin-orbit couplings."""
    parities: tuple[Literal[1, -1], ...] | None = None
    """1 or -1 of each state: its sign under the reflection in the plane of a planar molecule. States of opposite parity have
    couplings out of that plane."""
    multiplicities: tuple[int, ...] | None = None
    """Of each state, where the data do not say them."""
    labelled_atoms: bool = False
    """Tell like atoms apart by their place, for data of one molecule: for states whose signs a rotation of it changes."""

    @field_validator("parities", "multiplicities", mode="before")
    @classmethod
    def _read_list(cls, value: Any) -> Any:
        return tuple(int(part) for part in split_text(value)) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> PotentialSection:
        if self.surfaces == "diabatic" and self.couplings == "direct":
            raise ValueError("`potential.couplings` is `direct`, but diabatic surfaces have their couplings from the matrix; "
                             "write `interstate` to learn from those of the data, or leave it out")
        return self
