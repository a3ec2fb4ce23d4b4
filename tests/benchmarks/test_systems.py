"""Structures of the benchmarks: water is water, at its density, and always the same."""

import numpy as np
import pytest
from ase import units
from ase.io import write

from mlff.benchmarks.systems import benchmark_system


@pytest.mark.parametrize("num_atoms", [24, 192, 1536, 12000])
def test_water_has_the_density_of_water(num_atoms):
    atoms = benchmark_system(f"water-{num_atoms}")
    assert len(atoms) == num_atoms and atoms.pbc.all()
    grams = atoms.get_masses().sum() / units._Nav
    assert grams / (atoms.get_volume() * 1e-24) == pytest.approx(1.0, rel=1e-3)


def test_molecules_of_water_are_whole_and_apart():
    atoms = benchmark_system("water-192")
    distances = atoms.get_all_distances(mic=True)
    molecule = np.arange(192) // 3
    same = molecule[:, None] == molecule
    np.testing.assert_allclose(distances[0::3, 1::3].diagonal(), 0.9572, atol=1e-9)
    np.testing.assert_allclose(distances[0::3, 2::3].diagonal(), 0.9572, atol=1e-9)
    assert atoms.get_angle(1, 0, 2, mic=True) == pytest.approx(104.52)
    assert distances[~same].min() > 1.0


def test_a_system_is_the_same_every_time():
    for name in ("azobenzene", "water-81"):
        first, second = benchmark_system(name), benchmark_system(name)
        np.testing.assert_array_equal(first.positions, second.positions)
    assert len(benchmark_system("azobenzene")) == 24


def test_a_structure_file_is_a_system(tmp_path):
    write(tmp_path / "box.xyz", benchmark_system("water-24"))
    assert len(benchmark_system(str(tmp_path / "box.xyz"))) == 24


@pytest.mark.parametrize(
    ("name", "words"),
    [("water-100", "no whole water molecules"), ("water-0", "no whole water"), ("ice", "give azobenzene, water-N"),
     ("missing.xyz", "no structure file")],
)  # fmt: skip
def test_what_is_no_system_is_refused_in_words(name, words):
    with pytest.raises(ValueError, match=words):
        benchmark_system(name)
