"""Selection: views hold exactly the frames that meet the criteria, whatever is missing; nonsense is told in words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlff.data import HDF5Dataset, HDF5View, HDF5Writer


@pytest.fixture(scope="module")
def hopping(tmp_path_factory):
    """CH2 with three states and gaps in energies and forces, in two trajectories; water with one state and no forces."""
    path = tmp_path_factory.mktemp("hopping") / "hopping.h5"
    rng = np.random.default_rng(0)
    with HDF5Writer(path) as writer:
        writer.add_system("CH2", [6, 1, 1], num_states=3)
        writer.add_system("H2O", [8, 1, 1])
        for name, count in (("t0", 40), ("t1", 30)):
            energy = -1000 + np.sort(rng.uniform(0, 6, (count, 3)), axis=1)
            energy[rng.random((count, 3)) < 0.2] = np.nan
            forces = rng.normal(scale=3, size=(count, 3, 3, 3))
            forces[np.broadcast_to(rng.random((count, 1, 3, 1)) < 0.3, forces.shape)] = np.nan
            writer.add_trajectory("CH2", {
                "positions": rng.normal(size=(count, 3, 3)), "energy": energy, "forces": forces,
                "active_state": rng.integers(-1, 3, count), "time": 0.5 * np.arange(count),
            }, name=name)  # fmt: skip
        energy = -2000 + rng.uniform(0, 2, (20, 1))
        writer.add_trajectory("H2O", {"positions": rng.normal(size=(20, 3, 3)), "energy": energy}, name="w")
    return HDF5Dataset(path)


def zero(dataset, frame):
    system = next(each for each in dataset.systems if each.name == frame.system)
    return np.nanmin(system.read("energy")[:, 0])


def lengths(frame):
    """Force on each atom in each state, known ones only."""
    if frame.forces is None:
        return np.zeros((0, 0))
    return np.linalg.norm(frame.forces.astype(np.float64), axis=2)[:, frame.forces_valid]


def inside(dataset, frame, lowest, highest, states=None):
    energy = frame.energy if states is None else frame.energy[[s for s in states if s < frame.num_states]]
    known = energy[~np.isnan(energy)] - zero(dataset, frame)
    return known.size > 0 and ((known >= lowest) & (known <= highest)).all()


CRITERIA = [
    ({"system": "H2O"}, lambda d, f: f.system == "H2O"),
    ({"system": ["H2O", "CH2"]}, lambda d, f: True),
    ({"trajectories": "t1"}, lambda d, f: f.trajectory == "t1"),
    ({"trajectories": ["w", "t0"]}, lambda d, f: f.trajectory in ("w", "t0")),
    ({"time": (2, 5)}, lambda d, f: f.time is not None and 2 <= f.time <= 5),
    ({"time": (None, 5)}, lambda d, f: f.time is not None and f.time <= 5),
    ({"active_state": 1}, lambda d, f: f.active_state == 1),
    ({"active_state": [0, 2]}, lambda d, f: f.active_state in (0, 2)),
    ({"states": 2}, lambda d, f: f.num_states > 2 and f.energy_valid[2]),
    ({"states": [0, 1]}, lambda d, f: f.num_states > 1 and f.energy_valid[:2].all()),
    ({"forces_of": [0, 2]}, lambda d, f: f.forces is not None and f.forces_valid[[0, 2]].all()),
    ({"gap": (0, 1, 1.5)}, lambda d, f: f.num_states > 1 and abs(f.energy[1] - f.energy[0]) <= 1.5),
    ({"gap": (2, 1, 1.5)}, lambda d, f: f.num_states > 1 and abs(f.energy[1] - f.energy[2]) <= 1.5),
    ({"energy_window": (0, 3)}, lambda d, f: inside(d, f, 0, 3)),
    ({"energy_window": (None, 4), "states": [0]}, lambda d, f: f.energy_valid[0] and inside(d, f, -np.inf, 4, [0])),
    ({"max_force": 7}, lambda d, f: lengths(f).size > 0 and (lengths(f) <= 7).all()),
    ({"time": (3, 15), "gap": (0, 1, 2), "active_state": [0, 1]},
     lambda d, f: f.time and 3 <= f.time <= 15 and abs(f.energy[1] - f.energy[0]) <= 2 and f.active_state in (0, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("criteria", "meets"), CRITERIA, ids=lambda each: str(each) if isinstance(each, dict) else "")
def test_a_selection_is_the_frames_that_meet_its_criteria(hopping, criteria, meets):
    expected = [k for k, frame in enumerate(hopping) if meets(hopping, frame)]
    assert hopping.select(**criteria).indices.tolist() == expected
    assert expected, "a criterion that no frame of the fixture meets shows nothing"


@given(st.lists(st.sampled_from([each for each, _ in CRITERIA if "states" not in each]), max_size=3), st.randoms())
def test_selections_in_any_order_are_one_and_views_keep_their_order(hopping, several, random):
    order = list(range(len(hopping)))
    random.shuffle(order)
    view = hopping[np.array(order)]
    for criteria in several:
        view = view.select(**criteria)
    reverse = hopping
    for criteria in several[::-1]:
        reverse = reverse.select(**criteria)
    kept = set((reverse.indices if several else np.arange(len(hopping))).tolist())
    assert view.indices.tolist() == [index for index in order if index in kept]


def test_blocks_do_not_change_a_selection(hopping, monkeypatch):
    criteria = {"max_force": 7, "energy_window": (0, 4), "states": np.array([0, 1])}
    whole = hopping.select(**criteria).indices
    monkeypatch.setattr("mlff.data.selection._BLOCK_BYTES", 1)
    np.testing.assert_array_equal(hopping.select(**criteria).indices, whole)


@pytest.mark.parametrize(
    ("criteria", "words"),
    [
        ({"system": "CH4"}, "has no system 'CH4'; it has: CH2, H2O"),
        ({"trajectories": ["t0", "t9"]}, "has no trajectory 't9'; it has: t0, t1, w"),
        ({"active_state": 3}, "`active_state` asks for state 3, but .* has 3 state"),
        ({"states": []}, "`states` is .*; states were expected"),
        ({"states": [-1]}, "whole numbers from 0 on"),
        ({"gap": (0, 1)}, "`gap` is .* two different states and the largest difference"),
        ({"gap": (1, 1, 0.1)}, "two different states"),
        ({"gap": (0, 7, 0.1)}, "`gap` asks for state 7"),
        ({"gap": (0, 0.5, 0.1)}, "states were expected"),
        ({"energy_window": (3, 0)}, "`energy_window` is .* the lowest and the highest value in eV"),
        ({"time": (5,)}, "`time` is .* in fs were expected"),
        ({"gap": 0.5}, "`gap` is .* two different states"),
        ({"gap": (0, 1, "x")}, "two different states"),
        ({"time": ("a", 5)}, "`time` is .* in fs were expected"),
        ({"energy_window": (0, float("nan"))}, "the lowest and the highest value in eV"),
        ({"states": "S1"}, "states were expected"),
        ({"max_force": -1}, "the longest force on an atom"),
        ({"max_force": float("nan")}, "the longest force on an atom"),
    ],
)  # fmt: skip
def test_what_is_no_criterion_is_told_in_words(hopping, criteria, words):
    with pytest.raises(ValueError, match=words):
        hopping.select(**criteria)


def test_a_quantity_that_no_frame_has_is_named(azobenzene):
    with pytest.raises(ValueError, match="`active_state` asks for `active_state`, which no frame of .*azobenzene.h5 has"):
        azobenzene.select(active_state=0)


def test_subsets_are_evenly_spaced_or_drawn_by_a_seed(hopping):
    view = hopping.select(system="CH2")
    assert view.subset(3).indices.tolist() == [0, 34, 69] and len(hopping.subset(1000)) == len(hopping)
    assert len(view.subset(0)) == 0
    drawn = view.subset(10, seed=1)
    assert isinstance(drawn, HDF5View) and len(np.unique(drawn.indices)) == 10 and (np.diff(drawn.indices) > 0).all()
    assert drawn.indices.tolist() == view.subset(10, seed=1).indices.tolist() != view.subset(10, seed=2).indices.tolist()
    with pytest.raises(ValueError, match="`count` is -1"):
        hopping.subset(-1)


def test_views_become_atoms(hopping):
    view = hopping.select(trajectories="w")
    atoms = list(view.to_ase())
    assert [each.get_potential_energy() for each in atoms] == [frame.energy[0] for frame in view]
    assert atoms[3].info["trajectory"] == "w"
