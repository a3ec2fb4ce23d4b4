"""docs/models.md has every model that can be built, and every one of the talk that the project grew from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlff.models import ADAPTERS, MODELS, TOPOLOGICAL

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
TALK = ("SchNet", "DimeNet++", "PhysNet", "GemNet", "SphereNet", "EGNN", "GVP-GNN", "PaiNN", "ET", "ViSNet", "TensorNet",
        "Tensor Field Network", "Cormorant", "NequIP", "Allegro", "MACE", "Equiformer", "Radial Field", "GNN")  # fmt: skip


@pytest.mark.parametrize("heading", ["What there is", "Message passing, side by side"])
def test_every_registered_model_has_its_row(heading: str) -> None:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert sorted(rows) == sorted([*MODELS, *ADAPTERS, *TOPOLOGICAL])


@pytest.mark.parametrize("name", TALK)
def test_every_model_of_the_talk_is_there_or_has_a_line_that_says_why_not(name: str) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    assert any(re.search(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z+])", row) for row in rows)
