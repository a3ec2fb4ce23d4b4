"""``mlff compile``; that compiled code is right is tested in tests/fast and tests/calculators."""

import pytest
import torch


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_compiles_checks_and_says_where_the_code_is(working_folder, mlff, monkeypatch, empty_cache):
    made = []
    monkeypatch.setattr("mlff.fast.Program", lambda potential, compile: (potential.dtype, compile))
    monkeypatch.setattr("mlff.fast.CompiledPotential", lambda potential, neighbors, program: made.append(program))
    result = mlff("compile", "model", "--dtype", "float64")
    assert result.exit_code == 0 and made == [(torch.float64, True)]
    assert "ready" in result.stdout and str(empty_cache) in result.stdout


def test_without_a_compiler_it_says_so_in_one_sentence(working_folder, mlff, monkeypatch):
    monkeypatch.setattr("mlff.fast.build.shutil.which", lambda name: None)
    monkeypatch.setattr("mlff.fast.ops.load", lambda library: None)
    result = mlff("compile", "model")
    assert result.exit_code == 2
    assert "cannot be compiled here: there is no C++ compiler" in result.stderr and "Everything works without" in result.stderr


def test_an_unknown_model_is_refused(working_folder, mlff):
    result = mlff("compile", "nothing-here")
    assert result.exit_code == 2 and "nothing-here" in result.stderr
