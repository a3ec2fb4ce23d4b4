"""Several data files and a filter, from the configuration to what a run tells of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.train.config import TrainConfig
from mlff.train.prepare import prepare_data
from mlff.train.trainer import train

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies")


@pytest.fixture(scope="module")
def two_files(tmp_path_factory):
    """Harmonic CH2O in two files: with two states, and with the lower of them alone."""
    folder, rng, paths = tmp_path_factory.mktemp("files"), np.random.default_rng(0), []
    minimum = np.array([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0], [-0.6, 0.9, 0.0], [-0.6, -0.9, 0.0]])
    for name, offsets in (("a", [-100.0, -99.0]), ("b", [-100.0])):
        paths.append(str(folder / f"{name}.h5"))
        moved = 0.2 * rng.normal(size=(40, 4, 3))
        constants = 10.0 - 4.0 * np.arange(len(offsets))
        with HDF5Writer(paths[-1]) as writer:
            writer.add_system("CH2O", [6, 8, 1, 1], num_states=len(offsets))
            writer.add_trajectory("CH2O", {
                "positions": minimum + moved, "time": np.arange(40.0),
                "energy": np.array(offsets) + 0.5 * constants * np.square(moved).sum((1, 2))[:, None],
                "forces": -constants[:, None] * moved[:, :, None, :],
            }, name="t")  # fmt: skip
            parts = np.split(np.arange(40), (28, 34))
            writer.add_split("mine", dict(zip(("train", "val", "test"), parts)), kind="given")
    return paths


def data_of(**data):
    config = TrainConfig.build({"data": data})
    return prepare_data(config.data, config.loss)


@pytest.mark.parametrize(
    ("override", "criteria"),
    [
        ("data.filter.gap=0,1,0.5", {"gap": (0, 1, 0.5)}),
        ("data.filter={gap: [0, 1, 0.5], max_force: 10}", {"gap": (0, 1, 0.5), "max_force": 10.0}),
        ("data.filter.time=[null, 100]", {"time": (None, 100.0)}),
        ("data.filter.time=20,null", {"time": (20.0, None)}),
        ("data.filter.active_state=1", {"active_state": (1,)}),
        ("data.filter.states=0,1", {"states": (0, 1)}),
        ("data.filter.trajectories=TRAJ_00001", {"trajectories": ("TRAJ_00001",)}),
        ("data.filter.trajectories=[1, two]", {"trajectories": ("1", "two")}),
    ],
)
def test_criteria_are_read_as_they_are_written(override, criteria):
    config = TrainConfig.build({}, [override])
    assert config.data.filter.criteria == criteria
    assert TrainConfig.build(yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.filter.gapp=0,1,0.5", "there is no key `data.filter.gapp` .* did you mean `data.filter.gap`?"),
        ("data.filter.gap=0,1", "`data.filter.gap`: must be two states and the largest difference .* got '0,1'"),
        ("data.filter.gap=a,1,2", "`data.filter.gap.0` is 'a'"),
        ("data.filter.time=5", "`data.filter.time`: must be the first and the last time"),
        ("data.filter.active_state=S1", "`data.filter.active_state.0` is 'S1'"),
        ("data.filter.max_force=-1", "`data.filter.max_force` is -1"),
        ("data.path=[]", "`data.path`: must be the name of a data file, or a list of such names"),
        ("data.path=5", "`data.path`: must be the name of a data file"),
    ],
)
def test_what_is_no_filter_is_told_in_words(override, words):
    with pytest.raises(ValueError, match=words):
        TrainConfig.build({}, [override])


def test_the_parts_hold_the_frames_that_meet_the_criteria(two_files):
    data = data_of(path=two_files[0], filter={"energy_window": [None, 1.6], "time": [5, 35]})
    dataset = HDF5Dataset(two_files[0])
    energy = dataset.systems[0].read("energy")
    expected = [k for k in range(5, 28) if energy[k].max() - energy[:, 0].min() <= 1.6]
    assert data.train.tolist() == expected and 0 < len(expected) < 23
    assert data.filtering.message.startswith(
        f"data.filter (time 5.0, 35.0; energy_window None, 1.6) keeps {len(expected)} of 28 train, {len(data.val)} of 6 val"
    )


def test_a_filter_that_cannot_be_is_refused_with_its_words(two_files):
    with pytest.raises(ValueError, match="data.filter: .* has no trajectory 'u'; it has: t"):
        data_of(path=two_files[0], filter={"trajectories": "u"})
    with pytest.raises(ValueError, match=r"none of the 28 train frames .* meets `data.filter` \(time 90.0, 99.0\)"):
        data_of(path=two_files[0], filter={"time": [90, 99]})


def test_several_files_are_one_data_set(two_files):
    data = data_of(path=two_files)
    assert len(data.train) == 56 and data.states == (0, 1) and data.description["data"] == "a.h5, b.h5"
    assert data.fingerprint != data_of(path=two_files[::-1]).fingerprint
    assert data.fingerprint != replace(data, train=data.train[:-1]).fingerprint
    with pytest.raises(ValueError, match=r"azobenzene.h5` have no common split .* make one with `mlff data split .*a.h5 --by"):
        data_of(path=[two_files[0], "azobenzene"])
    with pytest.raises(ValueError, match="there is no data file `c.h5`"):
        data_of(path=[two_files[0], "c.h5"])


def test_a_run_on_several_files_with_a_filter_says_so_and_resumes(two_files, quick, plain_report, tmp_path, capsys):
    config = quick(data={"path": two_files, "filter": {"gap": [0, 1, 0.9], "states": [0, 1]}}, epochs=1, out="run")
    train(config)
    assert "data.filter (states 0, 1; gap 0, 1, 0.9) keeps" in capsys.readouterr().out.replace("\n", " ")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())["dataset"]
    assert summary["path"] == two_files and summary["filter"] == {"states": [0, 1], "gap": [0, 1, 0.9]}
    assert 0 < summary["frames_after_filter"]["train"] < summary["frames_before_filter"]["train"] == 56
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]["path"] == two_files
    assert train(config.model_copy(update={"epochs": 2}), resume=True).best_epoch > 0
    with pytest.raises(ValueError, match="are not those that the run began with"):
        train(config.model_copy(update={"data": config.data.model_copy(update={"path": two_files[::-1]})}), resume=True)
