"""``mlff label`` on the command line."""

from ase.build import molecule
from ase.io import write

from mlff import HDF5Dataset


def test_structures_become_a_data_file(mlff, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("in.xyz", [molecule("H2O")] * 3)
    told = mlff("label", "in.xyz", "-o", "out.h5", "--calculator", "lj:epsilon=0.2", "--set", "sigma=1.5", "--every", 2)
    assert told.exit_code == 0, told.output
    assert "2 frames of 1 systems labelled with Lennard-Jones (epsilon=0.2, sigma=1.5)" in " ".join(told.output.split())
    assert len(HDF5Dataset("out.h5")) == 2
    again = mlff("label", "in.xyz", "-o", "out.h5", "--calculator", "lj")
    assert again.exit_code == 2
    assert "out.h5 exists already; choose another name, or give `--append` or `--overwrite`" in again.output


def test_mistakes_end_in_a_sentence(mlff, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("in.xyz", molecule("H2O"))
    for arguments, sentence in {
        ("in.xyz", "--calculator", "nothing"): "the calculator 'nothing' is not known; give tblite",
        ("in.xyz", "--set", "method"): "the setting 'method' is not KEY=VALUE",
        ("no.xyz",): "there is no file no.xyz",
    }.items():
        result = mlff("label", *arguments, "-o", "out.h5")
        assert result.exit_code == 2
        assert sentence in result.output
