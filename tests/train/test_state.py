"""The saved state: read back to the last bit, replaced as a whole, never half read."""

from __future__ import annotations

import json
import math

import pytest
import torch

from mlff.train.state import DOCUMENT, load_state, save_state

TENSORS = {
    "a": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)),
    "b": torch.tensor(3),
    "c": torch.arange(4).byte(),
}
NUMBERS = {"epoch": 3, "loss": math.pi * 1e-7, "nothing": None}


def test_a_state_is_read_back_to_the_last_bit(tmp_path):
    save_state(tmp_path / "state", TENSORS, NUMBERS)
    tensors, document = load_state(tmp_path / "state")
    assert all(torch.equal(tensors[name], TENSORS[name]) and tensors[name].dtype == TENSORS[name].dtype for name in TENSORS)
    assert {name: document[name] for name in NUMBERS} == NUMBERS


def test_there_is_no_state_before_the_first_was_saved(tmp_path):
    assert load_state(tmp_path / "state") is None


def test_a_new_state_replaces_the_old_one_and_leaves_two_files(tmp_path):
    save_state(tmp_path, TENSORS, NUMBERS)
    save_state(tmp_path, {"a": torch.zeros(1)}, {"epoch": 4})
    tensors, document = load_state(tmp_path)
    assert list(tensors) == ["a"] and document["epoch"] == 4
    assert len(list(tmp_path.iterdir())) == 2


def test_a_kill_before_the_last_rename_leaves_the_state_before(tmp_path, monkeypatch):
    save_state(tmp_path, TENSORS, NUMBERS)
    import mlff.train.state as module

    write = module.replace_file

    def killed(path, data):
        if path.name == DOCUMENT:
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(module, "replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        save_state(tmp_path, {"a": torch.zeros(1)}, {"epoch": 4})
    assert load_state(tmp_path)[1]["epoch"] == 3


def test_damaged_and_newer_states_are_refused(tmp_path):
    save_state(tmp_path, TENSORS, NUMBERS)
    [file] = tmp_path.glob("*.safetensors")
    data = file.read_bytes()
    file.write_bytes(data[:-3])
    with pytest.raises(ValueError, match="damaged"):
        load_state(tmp_path)
    file.unlink()
    with pytest.raises(ValueError, match="missing"):
        load_state(tmp_path)
    document = json.loads((tmp_path / DOCUMENT).read_text())
    (tmp_path / DOCUMENT).write_text(json.dumps(document | {"format_version": 99}))
    with pytest.raises(ValueError, match="newer mlff"):
        load_state(tmp_path)
    (tmp_path / DOCUMENT).write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        load_state(tmp_path)
