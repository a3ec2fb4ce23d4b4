"""The section `loss` of the training configuration: what errors count, and how much."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mlff.train.section import Section


class LossConfig(Section):
    """Weighted sum of the errors in energy (eV), components of forces (eV/Å), stress (eV/Å³), couplings (eV/Å; 1/Å where they
    are learned directly) and dipoles (e Å), and in spin-orbit couplings (10 meV, that is 81 cm-1).

    The last three count where ``potential`` says that they are learned."""

    energy: float = Field(0.05, ge=0)
    forces: float = Field(0.95, ge=0)
    stress: float = Field(0.0, ge=0)
    couplings: float = Field(0.5, ge=0)
    dipoles: float = Field(0.5, ge=0)
    soc: float = Field(0.5, ge=0)
    gap_weight: float = Field(0.0, ge=0)
    """Several states: errors in energies, forces and couplings of states that are close count 1 + gap_weight * exp(-(gap /
    gap_width)^2 / 2) times."""
    gap_width: float = Field(0.5, gt=0)
    """eV."""
    kind: Literal["mae", "mse", "huber"] = "mae"
    """Of each error counts its absolute value, its square, or the square where it is small."""
    huber_delta: float = Field(0.1, gt=0)
    """Where ``huber`` turns from quadratic to linear, in the unit of the error."""
    energy_error: Literal["structure", "atom"] = "structure"
    """``structure``: the error of a structure's energy. ``atom``: that error divided by the number of atoms, which suits
    data sets whose structures differ much in size (and wants a weight larger by about N^2)."""

    @model_validator(mode="after")
    def _check(self) -> LossConfig:
        if self.energy + self.forces + self.stress == 0:
            raise ValueError("all weights are 0, so there is nothing to learn; set `loss.energy` or `loss.forces`")
        return self
