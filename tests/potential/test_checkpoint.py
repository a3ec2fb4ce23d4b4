"""Checkpoints: the same potential comes back, damage of any kind is found, nothing is ever unpickled."""

import json
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mlff import __version__
from mlff.graph import build_graph
from mlff.models import MODELS, model_config
from mlff.potential import checkpoint
from mlff.potential.checkpoint import load_potential, read_checkpoint, read_document, save_potential
from mlff.potential.potential import Potential


def potential(model="painn", **options):
    torch.manual_seed(1)
    settings = model_config(model, num_features=8, num_layers=1)
    return Potential.build(settings, species=(1, 8), atomic_energies={1: -13.60000001, 8: -2041.83}, **options).eval()


def energy(potential):
    graph = build_graph([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1], potential.cutoff)
    return potential(graph, forces=False)["energy"]


@pytest.fixture
def file(tmp_path):
    return save_potential(potential(), tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["model.safetensors", "folder", "deep/er/folder"])
@pytest.mark.parametrize("model", sorted(MODELS))
def test_what_is_loaded_is_what_was_saved(tmp_path, name, model):
    saved = potential(model, num_states=3, scale=2.5, zbl=True)
    path = save_potential(saved, tmp_path / name)
    loaded = load_potential(path)
    assert loaded.config == saved.config and not loaded.training
    assert torch.equal(energy(loaded), energy(saved))
    assert {k: v.dtype for k, v in loaded.state_dict().items()} == {k: v.dtype for k, v in saved.state_dict().items()}


def test_float64_weights_stay_float64_and_dtype_casts(tmp_path):
    double = potential().double()
    path = save_potential(double, tmp_path / "m")
    assert load_potential(path).dtype == torch.float64
    assert torch.equal(energy(load_potential(path)), energy(double))
    assert load_potential(path, dtype=torch.float32).dtype == torch.float32


def test_a_run_folder_leads_to_its_model(tmp_path):
    save_potential(potential(), tmp_path / "run" / "model")
    assert torch.equal(energy(load_potential(tmp_path / "run")), energy(potential()))


def test_saving_again_replaces_whole_files_and_leaves_no_others(tmp_path):
    path = tmp_path / "m"
    save_potential(potential(), path, extra={"epoch": 1})
    save_potential(potential(scale=2.0), path, extra={"epoch": 2})
    assert load_potential(path).config.scale == 2.0
    assert sorted(os.listdir(path)) == ["config.json", "weights.safetensors"]
    assert json.loads((path / "config.json").read_text())["extra"] == {"epoch": 2}


def test_a_kill_between_the_two_renames_leaves_the_new_model(tmp_path, monkeypatch):
    path = save_potential(potential(), tmp_path / "m")
    replace = os.replace

    def killed(source, target):
        if str(target).endswith("config.json"):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_potential(potential("egnn"), path)
    assert load_potential(path).config.model.name == "egnn"


def test_a_failed_write_leaves_the_old_model(tmp_path, monkeypatch):
    path = save_potential(potential(), tmp_path / "m")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_potential(potential(scale=2.0), path)
    assert load_potential(path).config.scale == 1.0
    assert sorted(os.listdir(path)) == ["config.json", "weights.safetensors"]


def test_the_document_says_what_the_checkpoint_is(file):
    document = read_document(file)
    assert document["format"] == "mlff-potential" and document["format_version"] == 3
    assert document["mlff_version"] == __version__ and document["torch_version"] == str(torch.__version__)
    assert document["potential"]["model"]["name"] == "painn" and document["extra"] == {}


def test_saving_leaves_the_potential_alone(tmp_path):
    saved = potential()
    before = {name: value.clone() for name, value in saved.state_dict().items()}
    save_potential(saved, tmp_path / "m")
    assert all(torch.equal(before[name], value) for name, value in saved.state_dict().items())


def test_every_truncation_is_found(file):
    data = file.read_bytes()
    for length in [*range(64), *range(64, len(data), 997), len(data) - 1]:
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match="truncated|damaged"):
            read_checkpoint(file)


def test_every_flipped_bit_is_found(file):
    data = file.read_bytes()
    for position in [*range(0, 3000, 41), *range(3000, len(data), 499), len(data) - 1]:
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        with pytest.raises(ValueError):
            read_checkpoint(file)


def test_flipped_weights_say_so(file):
    data = bytearray(file.read_bytes())
    data[-3] ^= 16
    file.write_bytes(data)
    with pytest.raises(ValueError, match="weights in .* are damaged: their SHA-256"):
        load_potential(file)


def rewritten(file, change):
    """The checkpoint with its document changed and signed again, as another version of the program would write it."""
    document, tensors = read_checkpoint(file)
    change(document)
    text = json.dumps(document)
    digest = checkpoint.hashlib.sha256(text.encode()).hexdigest()
    save_file(tensors, file, metadata={"mlff": text, "mlff_sha256": digest})
    return file


def test_a_newer_format_asks_for_an_upgrade(file):
    rewritten(file, lambda document: document.update(format_version=4, mlff_version="9.9"))
    with pytest.raises(ValueError, match=r"format version 4 \(written by mlff 9.9\).*upgrade mlff"):
        load_potential(file)


@pytest.mark.parametrize("value", [None, "1", 0, 1.5])
def test_a_format_version_that_is_none(file, value):
    rewritten(file, lambda document: document.update(format_version=value))
    with pytest.raises(ValueError, match="format version .*; expected a whole number"):
        load_potential(file)


@pytest.mark.parametrize("key", ["potential", "tensors_sha256", "mlff_version", "extra"])
def test_a_missing_key_is_named(file, key):
    rewritten(file, lambda document: document.pop(key))
    with pytest.raises(ValueError, match=f"lacks `{key}`"):
        load_potential(file)


def test_an_unknown_model_or_option_is_named(file):
    rewritten(file, lambda document: document["potential"]["model"].update(name="pain"))
    with pytest.raises(ValueError, match="does not fit this version of mlff.*model: .*no model 'pain'"):
        load_potential(file)


def test_weights_of_another_model_are_named(file):
    rewritten(file, lambda document: document["potential"].update(num_states=4))
    with pytest.raises(ValueError, match=r"do not fit its configuration: head.* is \[1.* where \[4"):
        load_potential(file)


def test_an_older_format_goes_through_its_upgrade(file, monkeypatch):
    def upgrade(document, tensors):
        return document | {"format_version": 4, "extra": {"upgraded": True}}, tensors

    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 4)
    monkeypatch.setitem(checkpoint.UPGRADES, 3, upgrade)
    assert read_checkpoint(file)[0]["extra"] == {"upgraded": True}


def test_a_checkpoint_of_format_1_gives_the_energies_that_it_gave(tmp_path):
    """The file was written by the last program of that format; so were the numbers, eV and eV/angstrom, which it printed."""
    stored = Path(__file__).parent / "files" / "format_1.safetensors"
    assert read_document(stored)["format_version"] == 1 and read_checkpoint(stored)[0]["format_version"] == 3
    old = load_potential(stored)
    assert old.config.surfaces == "separate" and old.config.nac_pairs == () and old.config.multiplicities is None
    assert old.config.graph.kind == "radius"
    graph = build_graph([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1], old.cutoff)
    results = old(graph)
    assert results["energy"][0].tolist() == pytest.approx([-2069.0511, -2069.3669], abs=1e-4)
    assert results["forces"][1, 1].tolist() == pytest.approx([-0.8755, 0.4427, 0.0], abs=1e-4)
    again = load_potential(save_potential(old, tmp_path / "m"))
    assert again.config == old.config and torch.equal(again(graph)["energy"], results["energy"])


def test_a_header_of_any_length_is_no_pickle(tmp_path):
    """Lengths are multiples of eight, and one in 32 begins with the byte that pickles begin with."""
    first = set()
    for length in range(33):
        path = save_potential(potential(), tmp_path / "m.safetensors", extra={"name": "x" * 8 * length})
        first.add(path.read_bytes()[0])
        assert load_potential(path)
    assert 0x80 in first


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("writer", ["pickle", "torch", "legacy"])
@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "folder"])
def test_a_pickle_is_refused_and_not_run(tmp_path, writer, name):
    bomb = Bomb(tmp_path / "exploded")
    path = tmp_path / name
    target = path / "weights.safetensors" if name == "folder" else path
    target.parent.mkdir(exist_ok=True)
    if writer == "pickle":
        target.write_bytes(pickle.dumps(bomb))
    else:
        torch.save(bomb, target, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(ValueError, match="is a pickle.*never opened"):
        load_potential(path)
    assert not (tmp_path / "exploded").exists()


def test_other_files_are_refused(tmp_path):
    text = tmp_path / "weights.txt"
    text.write_text("these are no weights, but long enough to have a header")
    with pytest.raises(ValueError, match="truncated or no safetensors file"):
        load_potential(text)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(3)}, foreign)
    with pytest.raises(ValueError, match="safetensors file but no mlff potential"):
        load_potential(foreign)
    huge = tmp_path / "huge.safetensors"
    huge.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(ValueError, match="truncated"):
        load_potential(huge)


def test_a_config_beside_the_weights_that_was_edited_or_damaged(tmp_path):
    path = save_potential(potential(), tmp_path / "m")
    config = path / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"scale": 1.0', '"scale": 1.5'))
    with pytest.raises(ValueError, match="differs from the configuration stored inside"):
        load_potential(path)
    config.write_text(text[:100])
    with pytest.raises(ValueError, match="config.json` is damaged"):
        load_potential(path)
    config.unlink()
    assert load_potential(path).config.scale == 1.0


def test_extra_must_be_json(tmp_path):
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        save_potential(potential(), tmp_path / "m", extra={"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        save_potential(potential(), tmp_path / "m", extra={"a": float("nan")})
    assert not (tmp_path / "m").exists()


def test_a_path_of_the_wrong_kind(tmp_path, file):
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        save_potential(potential(), tmp_path / "folder.safetensors")
    (tmp_path / "text").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        save_potential(potential(), tmp_path / "text")
