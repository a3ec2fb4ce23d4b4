"""Which structures are picked to be labelled next: where a committee disagrees, each once, unlike each other."""

import math

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.io import read, write
from numpy.testing import assert_allclose

from mlff.calculators import CommitteeCalculator
from mlff.label.disagreement import measure
from mlff.label.select import criterion, farthest_points, select, write_selection
from mlff.label.structures import read_structures
from mlff.models import model_config
from mlff.potential.potential import Potential


def fresh(seed=0, *, species=(1, 6, 8), **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = model_config("painn", num_features=8, num_layers=1, cutoff=3.0)
        return Potential.build(config, species=species, scale=0.5, **options).double().eval()


def agreeing_where_atoms_are_apart():
    """Two potentials of the same weights, of which one has a prior that atoms feel when they come close."""
    return [fresh(0), fresh(0, zbl=True)]


def ethanols(count, width=0.03, seed=0):
    rng, frames = np.random.default_rng(seed), []
    for _ in range(count):
        atoms = molecule("CH3CH2OH")
        atoms.positions += width * rng.normal(size=atoms.positions.shape)
        frames.append(atoms)
    return frames


def squeezed():
    atoms = molecule("CH3CH2OH")
    atoms.set_distance(0, 2, 0.6, fix=0)
    return atoms


def places(selection):
    return [each.place for each in selection.structures]


@pytest.mark.parametrize("num_states", [1, 3])
def test_disagreement_is_that_of_the_committees_calculator(num_states):
    members = [fresh(seed, num_states=num_states) for seed in range(3)]
    atoms = [*ethanols(3), bulk("C", cubic=True), *ethanols(2, seed=1)]
    atoms[3].rattle(0.1)
    measured = measure([each.frame for each in read_structures(atoms)], members, batch_size=4)
    assert measured.gap.shape == (6, num_states - 1)
    for k, each in enumerate(atoms):
        for state in range(num_states):
            each.calc = CommitteeCalculator(members, state=state, dtype="float64")
            spread = np.linalg.norm(each.calc.get_property("forces_uncertainty", each), axis=1).max()
            assert_allclose(measured.forces[k, state], spread, rtol=1e-6)
            assert_allclose(measured.energy[k, state], each.calc.results["energy_uncertainty"], rtol=1e-6)
    energies = np.array([[member(graph)["energy"][0].numpy() for member in members] for graph in graphs(atoms, members[0])])
    assert_allclose(measured.gap, np.diff(energies, axis=2).std(axis=1, ddof=1), atol=1e-9)


def graphs(atoms, potential):
    from mlff.graph import build_graph

    return [build_graph(each.positions, each.numbers, potential.cutoff, cell=each.cell.array, pbc=each.pbc) for each in atoms]


def test_descriptors_do_not_change_when_a_structure_turns_or_its_like_atoms_change_places():
    members = [fresh(0), fresh(1)]
    atoms = ethanols(1)[0]
    turned = atoms.copy()
    turned.rotate(70, (1, 2, 3))
    other = turned[np.array([1, 0, 2, 4, 3, 5, 8, 7, 6])]
    found = measure([each.frame for each in read_structures([atoms, turned, other, ethanols(1, seed=5)[0]])], members)
    assert_allclose(found.descriptors[1:3], found.descriptors[[0, 0]], atol=1e-9)
    assert np.abs(found.descriptors[3] - found.descriptors[0]).max() > 1e-4


def test_the_structure_far_outside_is_picked_first():
    atoms = ethanols(30)
    atoms.insert(17, squeezed())
    selection = select(atoms, agreeing_where_atoms_are_apart(), count=3)
    assert places(selection)[0] == 17 and selection.values[0] == selection.all_values.max()
    assert selection.values[0] > 100 * np.median(selection.all_values)


def test_a_structure_is_picked_once_however_often_it_is_there():
    turned = ethanols(2)[1]
    turned.rotate(40, "x")
    atoms = [*ethanols(2), *ethanols(2), turned]
    selection = select(atoms, [fresh(0), fresh(1)], count=5)
    assert len(selection.structures) == 2 and {place % 2 for place in places(selection) if place < 4} <= {0, 1}
    assert math.isinf(selection.distances[0]) and selection.distances[1] > 0.1


def test_the_window_leaves_out_what_is_known_and_what_is_broken():
    members = [fresh(0), fresh(1)]
    atoms = ethanols(20)
    values = criterion(measure([each.frame for each in read_structures(atoms)], members), "forces")
    low, high = np.quantile(values, [0.3, 0.8])
    atoms[0].positions[1] = np.nan
    selection = select(atoms, members, count=50, min_disagreement=low, max_disagreement=high)
    inside = (values >= low) & (values <= high)
    inside[0] = False
    assert sorted(places(selection)) == np.flatnonzero(inside).tolist()
    assert selection.below == ((values < low) & (np.arange(20) > 0)).sum()
    assert len(selection.all_values) == 20 == selection.below + selection.above + inside.sum()
    assert ((selection.values >= low) & (selection.values <= high)).all()


def test_the_pool_keeps_to_the_most_uncertain():
    members, atoms = [fresh(0), fresh(1)], ethanols(40)
    values = criterion(measure([each.frame for each in read_structures(atoms)], members), "forces")
    assert set(places(select(atoms, members, count=4, pool=1))) == set(np.argsort(-values)[:4].tolist())
    wide = select(atoms, members, count=4, pool=10)
    assert set(places(wide)) != set(np.argsort(-values)[:4].tolist())
    assert (np.diff(wide.distances) <= 1e-12).all()  # each is nearer to those before it than the one before it was


def test_states_and_gaps_that_count():
    members = [fresh(seed, num_states=3) for seed in range(2)]
    measured = measure([each.frame for each in read_structures(ethanols(3))], members)
    assert_allclose(criterion(measured, "forces", [1]), measured.forces[:, 1])
    assert_allclose(criterion(measured, "energy"), measured.energy.max(axis=1))
    assert_allclose(criterion(measured, "gap", [2]), measured.gap[:, 1])
    assert_allclose(criterion(measured, "gap", [1]), measured.gap.max(axis=1))


def test_farthest_points_spread_out():
    line = np.array([[0.0], [0.1], [0.2], [1.0], [0.95], [0.5], [1.0]])
    rows, distances = farthest_points(line, 4)
    assert rows.tolist() == [0, 3, 5, 2] and distances.tolist() == pytest.approx([math.inf, 1.0, 0.5, 0.2])
    assert len(farthest_points(line, 100)[0]) == 6
    assert farthest_points(line, 100, nearest=0.3)[0].tolist() == [0, 3, 5]


def test_what_is_written_says_where_it_is_from(tmp_path):
    atoms = ethanols(4)
    for step, each in enumerate(atoms):
        each.info |= {"trajectory": "hot", "step": 10 * step, "time": 5.0 * step, "charge": 1, "multiplicity": 2}
        each.set_velocities(np.full((9, 3), 0.01))
    write(tmp_path / "in.xyz", atoms)
    selection = select([tmp_path / "in.xyz"], [fresh(0, num_states=2), fresh(1, num_states=2)], count=2)
    write_selection(tmp_path / "next.xyz", selection)
    again = list(read_structures([tmp_path / "next.xyz"]))
    for k, (found, picked) in enumerate(zip(again, selection.structures)):
        assert_allclose(found.frame.positions, picked.frame.positions, atol=1e-7)
        assert_allclose(found.frame.velocities, picked.frame.velocities, rtol=1e-5)
        assert (found.frame.trajectory, found.frame.step, found.frame.charge) == ("hot", 10 * picked.place, 1)
        assert found.multiplicity == 2 and found.frame.time == 5.0 * picked.place
        info = read(tmp_path / "next.xyz", index=k).info
        assert info["source"] == "in.xyz" and info["place"] == picked.place
        assert_allclose(info["forces_disagreement"], selection.disagreement.forces[k], atol=1e-6)
        assert_allclose(info["gap_disagreement"], selection.disagreement.gap[k], atol=1e-6)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.xyz", "next.xyz"]
    with pytest.raises(ValueError, match=r"does not end in .xyz"):
        write_selection(tmp_path / "next.h5", selection)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (dict(count=0), "`count` is 0; give a whole number, 1 or more"),
        (dict(min_disagreement=-1.0), "the smallest disagreement is -1.0; give 0 or more"),
        (dict(min_disagreement=1.0, max_disagreement=0.5), "ends at 0.5, not above its beginning, 1"),
        (dict(min_disagreement=1e6), r"no disagreement of the 2 structures is between 1e\+06 and inf eV/Å: they reach from"),
        (dict(by="size"), "choose one of forces, energy, gap"),
        (dict(by="gap"), "one electronic state and so no gap"),
        (dict(states=[1]), "the models have the states 0 to 0"),
    ],
)
def test_requests_that_make_no_sense(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        select(ethanols(2), [fresh(0), fresh(1)], **({"count": 2} | arguments))


def test_committees_and_structures_that_do_not_fit():
    with pytest.raises(ValueError, match="one model cannot disagree with itself; give the folder of a committee"):
        select(ethanols(1), [fresh(0)], count=1)
    with pytest.raises(ValueError, match="the same elements and states"):
        select(ethanols(1), [fresh(0), fresh(1, num_states=2)], count=1)
    with pytest.raises(ValueError, match="not trained on O; they know H, C"):
        select(ethanols(1), [fresh(0, species=(1, 6)), fresh(1, species=(1, 6))], count=1)
    lost = ethanols(1)
    lost[0].positions[:] = np.inf
    with pytest.raises(ValueError, match="none of 1 structures has finite positions"):
        select(lost, [fresh(0), fresh(1)], count=1)
