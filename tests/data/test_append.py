"""Appending an import: to the systems that the frames are of, with the splits right, nothing twice, all or nothing."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mlff.cli.main import main
from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.importers import import_sources

from .importers.sharc_files import SharcRun


def run(folder, name, seed, numbers=(6, 1, 1), frames=6):
    """A SHARC run of two singlets in ``folder/name``."""
    path = folder / name
    path.mkdir(parents=True)
    (path / "output.dat").write_text(SharcRun(list(numbers), [2], frames, seed=seed).ascii())
    return path


@pytest.fixture
def batches(tmp_path):
    """Two folders of runs: the second has a run of a name of the first, and one of another molecule."""
    run(tmp_path / "first", "TRAJ_1", 1)
    run(tmp_path / "first", "TRAJ_2", 2, frames=4)
    run(tmp_path / "first", "TRAJ_W", 3, numbers=(8, 1, 1))
    run(tmp_path / "second", "TRAJ_1", 4, frames=5)
    run(tmp_path / "second", "TRAJ_3", 5)
    run(tmp_path / "second", "TRAJ_N", 6, numbers=(8, 6))
    return tmp_path / "first", tmp_path / "second"


def numbers_of(dataset):
    """Every number of every trajectory, by its name."""
    return {
        each.name: {
            name: dataset.systems[each.system].read(name, slice(each.first, each.first + each.count))
            for name in dataset.systems[each.system].names
            if name != "trajectory"
        }
        for each in dataset.trajectories
    }


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_appended_import_holds_what_two_imports_hold(tmp_path, batches):
    out, alone = tmp_path / "all.h5", tmp_path / "alone.h5"
    import_sources([batches[0]], out, charge=1, level_of_theory="CASSCF")
    with HDF5Writer(out, "a") as writer:
        writer.add_split("mine", {"train": range(4), "val": [4, 5], "test": range(10, 16)}, kind="trajectory")
    before = numbers_of(HDF5Dataset(out))
    rows = {part: HDF5Dataset(out).locate(at) for part, at in HDF5Dataset(out).split("mine").items()}
    report = import_sources([batches[1]], out, append=True)
    import_sources([batches[1]], alone)
    after, new = HDF5Dataset(out), numbers_of(HDF5Dataset(alone))
    assert [system.num_frames for system in after.systems] == [21, 6, 6] and len(after) == 33
    assert [system.charge for system in after.systems] == [1, 1, 0]
    assert {each.name: each.system for each in after.trajectories} == {
        "TRAJ_1": 0, "TRAJ_2": 0, "TRAJ_W": 1, "second/TRAJ_1": 0, "TRAJ_3": 0, "TRAJ_N": 2
    }  # fmt: skip
    held = numbers_of(after)
    for name, expected in [*before.items(), *((n if n != "TRAJ_1" else "second/TRAJ_1", c) for n, c in new.items())]:
        assert held[name].keys() == expected.keys()
        for quantity, values in expected.items():
            np.testing.assert_array_equal(held[name][quantity], values)
    for part, (system, row) in rows.items():
        np.testing.assert_array_equal(after.locate(after.split("mine")[part]), (system, row))
    assert after.split_attrs("mine")["kind"] == "trajectory"
    for index, each in enumerate(after.trajectories):
        first = after.systems[each.system].first + each.first
        assert {after[k].trajectory for k in range(first, first + each.count)} == {each.name}
        assert np.isfinite(after.checks["smallest_distance"][index])
    assert "the 17 frames added are in none of the splits that the file had (mine)" in report.text()
    assert "charge +1 and level of theory CASSCF are those of the frames that it had before" in report.text()


def test_a_file_that_is_in_it_already_is_not_added_again(tmp_path, batches):
    out = tmp_path / "all.h5"
    import_sources([batches[0]], out)
    report = import_sources([batches[0], batches[1] / "TRAJ_3"], out, append=True)
    assert [each.name for each in HDF5Dataset(out).trajectories] == ["TRAJ_1", "TRAJ_2", "TRAJ_W", "TRAJ_3"]
    said = [each for each in report.problems if "the same file is in the output already" in each]
    assert len(said) == 3 and "(trajectory TRAJ_1), it was not added again" in said[-1]
    before = digest(out)
    with pytest.raises(ValueError, match="no whole frame was found, nothing was written: .*not added again"):
        import_sources([batches[0]], out, append=True)
    with pytest.raises(ValueError, match="`--strict` was given"):
        import_sources([batches[0] / "TRAJ_1", batches[1] / "TRAJ_1"], out, append=True, strict=True)
    assert digest(out) == before


def test_the_report_goes_on(tmp_path, batches):
    out = tmp_path / "all.h5"
    for k, folder in enumerate(batches):
        text = (folder / "TRAJ_1" / "output.dat").read_text()
        (folder / "TRAJ_1" / "output.dat").write_text(text[: int(len(text) * 0.9)])
        import_sources([folder / "TRAJ_1"], out, append=bool(k))
    report = HDF5Dataset(out).report
    first = next(k for k, each in enumerate(report) if each.startswith("second/TRAJ_1"))
    assert 0 < first < len(report) and all("second" not in each for each in report[:first])


@pytest.mark.parametrize("charge", [None, 0.0, 1.0, 2.0])
def test_a_charge_decides_to_which_system_frames_belong(tmp_path, batches, charge):
    """Said by nobody it is that of the one system that fits; another charge is another system."""
    out = tmp_path / "all.h5"
    import_sources([batches[0] / "TRAJ_1"], out, charge=1)
    import_sources([batches[1] / "TRAJ_3"], out, append=True, charge=charge)
    charges = [system.charge for system in HDF5Dataset(out).systems]
    assert charges == ([1] if charge in (None, 1) else [1, charge])
    if len(charges) == 2:  # two fit now: 0, which is what a new file would say, else neither
        report = import_sources([batches[1] / "TRAJ_1"], out, append=True)
        charges = [system.charge for system in HDF5Dataset(out).systems]
        assert charges == ([1, 0] if charge == 0 else [1, 2, 0])
        assert charge == 0 or "does not say the charge: 0 is stored" in report.text()


def test_given_splits_of_one_name_are_joined(tmp_path):
    frame = "1\nProperties=species:S:1:pos:R:3 energy={e} time={e}\n{s} 0 0 {e}\n"
    for symbol in ("H", "He"):
        for part, times in (("train", range(4)), ("val", range(4, 6)), ("test", range(6, 9))):
            text = "".join(frame.format(e=time, s=symbol) for time in times)
            (tmp_path / f"{symbol}_{part}.xyz").write_text(text)
    out = tmp_path / "all.h5"
    for k, symbol in enumerate(("H", "He")):
        report = import_sources(sorted(tmp_path.glob(f"{symbol}_*.xyz")), out, append=True)  # makes it, then adds
        assert "none of the splits" not in report.text()
        dataset = HDF5Dataset(out)
        assert {part: len(rows) for part, rows in dataset.split("given").items()} == {
            "train": 4 * (k + 1), "val": 2 * (k + 1), "test": 3 * (k + 1)
        }  # fmt: skip
        with pytest.raises(ValueError, match="nothing was written: .*the same file"):
            import_sources(sorted(tmp_path.glob(f"{symbol}_*.xyz")), out, append=True)
        energy = dataset.batch(dataset.split("given")["test"]).energy
        assert sorted(energy.ravel()) == sorted([6, 7, 8] * (k + 1))


def test_an_append_that_fails_leaves_the_file_as_it_was(tmp_path, batches, monkeypatch):
    out = tmp_path / "all.h5"
    import_sources([batches[0]], out)
    before, listed = digest(out), sorted(os.listdir(tmp_path))
    from mlff.data.importers import assemble

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    for broken in ("add_trajectory", "finalize"):
        with monkeypatch.context() as patch:
            patch.setattr(assemble.HDF5Writer, broken, full)
            with pytest.raises(OSError, match="No space left"):
                import_sources([batches[1]], out, append=True)
        assert digest(out) == before
    (tmp_path / "other.h5").write_bytes(b"no native file")
    with pytest.raises(ValueError, match="not an HDF5 file"):
        import_sources([batches[1]], tmp_path / "other.h5", append=True)
    (tmp_path / "other.h5").unlink()
    with pytest.raises(ValueError, match="either `--append` .* or `--overwrite`"):
        import_sources([batches[1]], out, append=True, overwrite=True)
    with HDF5Writer(out, "a"), pytest.raises(ValueError, match="being written by another process"):
        import_sources([batches[1]], out, append=True)
    assert digest(out) == before
    assert [each for each in sorted(os.listdir(tmp_path)) if not each.endswith(".lock")] == [
        each for each in listed if not each.endswith(".lock")
    ]


def test_a_file_of_version_1_can_be_appended_to(tmp_path, batches):
    out = tmp_path / "old.h5"
    out.write_bytes((Path(__file__).parent / "files" / "schema_1.h5").read_bytes())
    old = numbers_of(HDF5Dataset(out))
    import_sources([batches[0]], out, append=True)
    dataset = HDF5Dataset(out)
    assert dataset.attrs["schema_version"] == 2 and len(dataset.systems) == 4 and len(dataset) == 13 + 16
    new = numbers_of(dataset)
    for name, columns in old.items():
        for quantity, values in columns.items():
            np.testing.assert_array_equal(new[name][quantity], values)


def test_appending_as_a_user_types_it(tmp_path, batches):
    def mlff(*arguments):
        result = CliRunner().invoke(main, ["data", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    out = tmp_path / "all.h5"
    assert "16 frames written to" in mlff("import", batches[0], "-o", out)
    mlff("split", out, "--by", "trajectory", "--val", "TRAJ_2", "--test", "TRAJ_W")
    output = mlff("import", batches[1], "-o", out, "--append")
    assert "17 frames added to" in output and "in none of the splits that the file had (trajectory)" in output
    assert "train 6, val 4, test 6" in mlff("info", out)
    mlff("split", out, "--by", "trajectory", "--val", "TRAJ_2", "--test", "TRAJ_W", "--overwrite")
    assert "train 23, val 4, test 6" in mlff("info", out)
