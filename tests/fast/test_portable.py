"""Portable programs equal the potential, run without mlff, and appear whole or not at all."""

import json
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from mlff.fast.portable import METADATA, export_potential, program_inputs, save_portable
from mlff.graph import build_graph

from ..models.variants import CUTOFF, NUM_STATES, VARIANTS, crystal, make_potential, make_repelling, molecule

NATIVE = ("egnn", "et", "gvp", "painn", "schnet", "tensornet", "visnet")
STRUCTURES = {
    "molecule": molecule(),
    "crystal": crystal(),
    "one pair": build_graph([[0.0, 0.0, 0.0], [1.2, 0.1, 0.3]], [6, 1], CUTOFF),
}
WITHOUT_MLFF = """
import json, sys, torch
sys.modules["mlff"] = None
extra = {"metadata.json": ""}
program = torch.export.load("model.pt2", extra_files=extra)
facts = json.loads(extra["metadata.json"])
assert facts["states"] == 2 and facts["cutoff"] == 4.0
results = program.module()(*torch.load("inputs.pt"))
torch.save(results, "outputs.pt")
print({node.target.namespace for node in program.graph.nodes if hasattr(node.target, "namespace")})
"""


@pytest.mark.parametrize("variant", [name for name in NATIVE if name in VARIANTS])
def test_a_program_gives_the_potentials_energies_forces_and_virials(variant):
    potential = make_potential(variant)
    program = export_potential(potential).module()
    for name, graph in STRUCTURES.items():
        exact = potential(graph, stress=name == "crystal")
        found = program(*program_inputs(graph))
        assert_close(found["energy"], exact["energy"][0], atol=1e-8, rtol=0)
        assert_close(found["energies"], exact["energies"], atol=1e-8, rtol=0)
        assert_close(found["forces"], exact["forces"], atol=1e-7, rtol=0)
        if name == "crystal":
            voigt = found["virial"][:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / torch.linalg.det(graph.cell).abs()
            assert_close(voigt, exact["stress"][0], atol=1e-8, rtol=0)


def test_a_program_repels_close_atoms_as_the_potential_does():
    potential = make_repelling("painn")
    program = export_potential(potential).module()
    graph = build_graph([[0.0, 0.0, 0.0], [0.4, 0.1, 0.3], [0.0, 1.4, 0.0]], [6, 1, 8], CUTOFF)
    exact, found = potential(graph), program(*program_inputs(graph))
    assert_close(found["energy"], exact["energy"][0], atol=1e-8, rtol=0)
    assert_close(found["forces"], exact["forces"], atol=1e-7, rtol=0)
    assert float(exact["forces"].abs().max()) > 10


def test_torch_alone_runs_the_file(tmp_path):
    potential, graph = make_potential("painn"), crystal()
    save_portable(potential, tmp_path / "model.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]
    torch.save(program_inputs(graph), tmp_path / "inputs.pt")
    done = subprocess.run([sys.executable, "-P", "-c", WITHOUT_MLFF], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{'aten'}"
    found, exact = torch.load(tmp_path / "outputs.pt"), potential(graph)
    assert found["forces"].shape == (graph.num_atoms, NUM_STATES, 3)
    assert_close(found["forces"], exact["forces"], atol=1e-7, rtol=0)


def test_the_file_says_what_a_host_must_know(tmp_path):
    potential = make_potential("schnet")
    save_portable(potential, tmp_path / "model.pt2")
    extra = {METADATA: ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    facts = json.loads(extra[METADATA])
    assert facts["cutoff"] == potential.cutoff and tuple(facts["species"]) == potential.species
    assert list(facts["inputs"]) == ["positions", "atomic_numbers", "pairs", "translations"]
    assert facts["outputs"]["forces"]["unit"] == "eV/angstrom" and facts["dtype"] == "float64"


def test_a_wrong_file_or_folder_is_refused_before_any_work(tmp_path):
    potential = make_potential("schnet")
    with pytest.raises(ValueError, match="end in .pt2"):
        save_portable(potential, tmp_path / "model.onnx")
    with pytest.raises(OSError, match="no folder"):
        save_portable(potential, tmp_path / "nowhere" / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_what_a_program_cannot_hold_is_said(monkeypatch):
    potential = make_potential("schnet")
    monkeypatch.setattr(type(potential.model), "forward", lambda self, graph: 1 / int(graph.atomic_numbers.sum()))
    with pytest.raises(ValueError, match="schnet cannot be exported"):
        export_potential(potential)
