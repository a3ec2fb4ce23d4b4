"""Splits: nothing twice, nothing from the future, whole trajectories whole."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlff.data import HDF5Dataset, HDF5Writer, splits


def sizes(split):
    return tuple(len(split[part]) for part in ("train", "val", "test"))


def test_by_time_holds_out_the_end_of_every_trajectory(azobenzene):
    split = splits.by_time(azobenzene, (0.5, 0.25, 0.25))
    assert np.array_equal(np.sort(np.concatenate(list(split.values()))), np.arange(len(azobenzene)))
    system = azobenzene.systems[0]
    time, owner = system.read("time"), system.read("trajectory")
    for k in np.unique(owner):
        of = {part: time[rows[owner[rows] == k]] for part, rows in split.items()}
        assert of["train"].max() < of["val"].min() and of["val"].max() < of["test"].min()


def test_by_trajectory_keeps_trajectories_whole_and_follows_the_seed(azobenzene):
    split = splits.by_trajectory(azobenzene, (0.8, 0.1, 0.1), seed=3)
    owner = azobenzene.systems[0].read("trajectory")
    held = [set(owner[split[part]]) for part in split]
    assert [len(each) for each in held] == [40, 5, 5] and not (
        held[0] & held[1] | held[0] & held[2] | held[1] & held[2]
    )
    again, other = (splits.by_trajectory(azobenzene, (0.8, 0.1, 0.1), seed=seed) for seed in (3, 4))
    assert np.array_equal(split["test"], again["test"]) and not np.array_equal(split["test"], other["test"])


def test_named_trajectories_are_held_out(azobenzene):
    split = splits.by_trajectory(azobenzene, val=["t002"], test=["t001", "t010"])
    assert {azobenzene[int(k)].trajectory for k in split["test"]} == {"t001", "t010"}
    assert {azobenzene[int(k)].trajectory for k in split["val"]} == {"t002"}
    assert sum(sizes(split)) == len(azobenzene)
    for arguments, words in (
        ({"test": ["t999"]}, "no trajectory is called t999; the file has t000, t001"),
        ({"val": ["t001"], "test": ["t001"]}, "cannot be in both"),
        ({"fractions": (0.8, 0.1, 0.1), "test": ["t001"]}, "not both"),
    ):
        with pytest.raises(ValueError, match=words):
            splits.by_trajectory(azobenzene, **arguments)


def test_random_warns_that_trajectories_leak(azobenzene):
    with pytest.warns(UserWarning, match="leaks"):
        split = splits.random(azobenzene, (0.8, 0.1, 0.1), seed=1)
    assert sizes(split) == (1755, 220, 219)
    assert len(np.unique(np.concatenate(list(split.values())))) == 2194


@given(
    count=st.integers(0, 200), shares=st.lists(st.integers(0, 10), min_size=3, max_size=3).filter(lambda s: s[0] > 0)
)
def test_parts_follow_the_fractions_and_none_is_empty_by_rounding(count, shares):
    fractions = tuple(share / sum(shares) for share in shares)
    first, second = splits._cuts(count, fractions)
    parts = (first, second - first, count - second)
    assert min(parts) >= 0 and sum(parts) == count
    if count >= 3:
        assert all(part > 0 for part, fraction in zip(parts, fractions, strict=True) if fraction > 0)
        assert all(abs(part - count * fraction) <= 2 for part, fraction in zip(parts, fractions, strict=True))


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.2, 0.2), (0.9, 0.2, -0.1), (0, 0.5, 0.5), (0.5, 0.5), (float("nan"), 0.5, 0.5)]
)
def test_wrong_fractions_are_refused(azobenzene, fractions):
    with pytest.raises(ValueError, match="with the sum 1 and train above 0"):
        splits.by_time(azobenzene, fractions)


def test_frames_of_no_known_trajectory_are_split_at_random_only(tmp_path):
    with HDF5Writer(tmp_path / "loose.h5") as writer:
        writer.add_system("H", [1])
        writer.add_trajectory("H", {"positions": np.zeros((10, 1, 3))})
    dataset = HDF5Dataset(tmp_path / "loose.h5")
    for split in (splits.by_time, splits.by_trajectory):
        with pytest.raises(ValueError, match="10 of the 10 frames .* do not say which trajectory"):
            split(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sizes(splits.random(dataset)) == (8, 1, 1)


def test_given_indices_are_checked(azobenzene):
    assert sizes(splits.given(azobenzene, {"train": [0, 1], "test": [5]})) == (2, 0, 1)
    for parts, words in (({"train": [0], "val": [0]}, "more than once"), ({"train": [2194]}, "outside the 2194"),
                         ({"rest": [0]}, "given: rest")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            splits.given(azobenzene, parts)
