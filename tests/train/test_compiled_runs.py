"""Runs with the compiled step: traced only, as Inductor takes long; one trace must serve batches of every size."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from mlff.train.trainer import train

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies"),
    pytest.mark.usefixtures("plain_report"),
]


@pytest.mark.parametrize(
    "options",
    [
        ("batch_size=8",),  # as many structures as features
        ("data.path={two_states}", "epochs=2", "loss.kind=huber"),  # gaps, two states, batches of 24 pairs
        ("data.path={two_states}", "epochs=1", "loss.forces=0", "schedule.kind=plateau"),
        ("model={{name: egnn, num_features: 8, num_layers: 2}}", "epochs=1"),
        ("model={{name: tensornet, num_features: 8, num_layers: 1, num_radial: 8}}", "epochs=1"),
    ],
)
def test_the_traced_step_trains_the_same_weights(quick, monkeypatch, recwarn, two_states, options):
    traced = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: traced.append(function) or function)
    options = [option.format(two_states=two_states) for option in options]
    sections = {"data": {}} if any("data.path" in option for option in options) else {}
    models = []
    for out in ("eager", "compiled"):
        config = quick(*options, f"compile={out == 'compiled'}", out=out, **sections)
        run = train(config, console=Console(file=io.StringIO())).folder
        models.append(load_file(run / "model" / "weights.safetensors"))
    assert len(traced) == 1
    assert not [warning for warning in recwarn if "not compiled" in str(warning.message)]
    for name in models[0]:
        torch.testing.assert_close(models[0][name], models[1][name], rtol=1e-3, atol=1e-5)
