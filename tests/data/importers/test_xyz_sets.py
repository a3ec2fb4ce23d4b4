"""Sets of extended xyz: files of one state each become frames of all states; memory does not grow with the set."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.importers import import_sources, recognise
from mlff.data.importers.xyz.comment import CommentReader, parse_comment
from mlff.data.importers.xyz.members import xyz_members
from mlff.data.importers.xyz.reader import ExtxyzReader
from mlff.data.importers.xyz.spill import Spill

RNG = np.random.default_rng(3)
GEOMETRIES = RNG.normal(scale=3, size=(40, 4, 3)).round(6)


def frame(k, state, noise=0.0, extra=""):
    """Geometry ``k`` as text, with the energy 10 k + state and forces that hold both numbers."""
    rows = "".join(f"C {x + noise:.8f} {y:.8f} {z:.8f} {k} {state} 0\n" for x, y, z in GEOMETRIES[k])
    return f"4\nProperties=species:S:1:pos:R:3:forces:R:3 energy={10 * k + state} {extra}\n{rows}"


def xxmd(folder, frames, name="azo"):
    """The layout of xxMD-CASSCF: a folder a state, in it a zip, in it a file a part; ``frames[state][part]``."""
    for state, parts in frames.items():
        (folder / f"s{state}").mkdir(parents=True)
        with zipfile.ZipFile(folder / f"s{state}" / f"{name}_s{state}.zip", "w") as archive:
            for part, numbers in parts.items():
                text = "".join(frame(k, state, noise=1e-6 * state) for k in numbers)
                archive.writestr(f"{name}_{part}_s{state}.xyz", text)
    return folder


def run(tmp_path, *sources, **options):
    report = import_sources(sources, tmp_path / "out.h5", overwrite=True, **options)
    return report, HDF5Dataset(tmp_path / "out.h5")


def test_states_of_xxmd_are_put_together_by_geometry(tmp_path):
    frames = {
        0: {"train": range(20), "val": range(20, 30), "test": range(30, 40)},
        1: {"train": [5, 3, 0, 7], "val": range(29, 19, -1), "test": range(30, 40)},
        2: {"train": range(20), "val": range(20, 30), "test": range(30, 39)},
    }
    folder = xxmd(tmp_path / "azo", frames)
    assert recognise(folder) == "xxmd"
    report, dataset = run(tmp_path, folder)
    assert len(dataset) == 40 and dataset.num_states == 3
    assert {part: len(rows) for part, rows in dataset.split("given").items()} == {"train": 20, "val": 10, "test": 10}
    for part, rows in dataset.split("given").items():
        for row in rows:
            one = dataset[int(row)]
            k = int(np.flatnonzero(np.abs(GEOMETRIES - one.positions).max(axis=(1, 2)) < 1e-5)[0])
            for state in range(3):
                known = k in frames[state][part]
                assert one.energy_valid[state] == one.forces_valid[state] == known
                assert not known or one.energy[state] == 10 * k + state
                assert not known or one.forces[:, state].tolist() == [[k, state, 0]] * 4
    assert "azo: state 1: 16 of 40 geometries are not in its files: masked" in report.problems
    assert "azo: state 2: 1 of 40 geometries are not in its files: masked" in report.problems
    for sources in (sorted(folder.glob("s*/*.zip")), [tmp_path]):  # the zips, and a folder of such folders
        assert len(run(tmp_path, *sources)[1]) == 40 and run(tmp_path, *sources)[1].num_states == 3


def test_one_state_alone_is_one_state_with_its_number(tmp_path):
    xxmd(tmp_path / "azo", {1: {"train": range(3)}})
    for source in (tmp_path / "azo", tmp_path / "azo" / "s1" / "azo_s1.zip", tmp_path / "azo" / "s1"):
        _, dataset = run(tmp_path, source)
        assert dataset.num_states == 1 and dataset.batch(slice(None)).energy[:, 0].tolist() == [1, 11, 21]
        assert dataset.systems[0].roots == (1,)


def test_a_geometry_that_is_there_twice_is_reported_and_kept(tmp_path):
    xxmd(tmp_path / "azo", {0: {"train": [0, 1, 1, 2], "test": [3]}, 1: {"train": [1, 1, 0, 3], "test": [0]}})
    report, dataset = run(tmp_path, tmp_path / "azo")
    assert "azo: state 0: 1 frames have the geometry of an earlier one" in report.problems
    assert "azo: state 1: 2 frames have the geometry of an earlier one" in report.problems
    energies = dataset.batch(slice(None)).energy
    assert sorted(energies[np.isfinite(energies).all(axis=1)].tolist()) == [[0, 1], [10, 11], [10, 11]]
    assert len(energies) == 7  # 2 of state 0 and 3 in test of one state; 3 in train and 0 in test of the other


def test_files_named_like_states_without_a_common_geometry_are_sets_of_their_own(tmp_path):
    (tmp_path / "mol_s0.xyz").write_text(frame(0, 0) + frame(1, 0))
    (tmp_path / "mol_s1.xyz").write_text(frame(2, 1))
    report, dataset = run(tmp_path, tmp_path / "mol_s0.xyz", tmp_path / "mol_s1.xyz")
    assert sorted(dataset.batch(slice(None)).energy[:, 0].tolist()) == [0, 10, 21]
    assert any("no geometry is in the files of two of its states" in each for each in report.problems)


def test_frames_a_millistep_apart_are_not_taken_for_one_another(tmp_path):
    steps = GEOMETRIES[0] + 5e-4 * np.arange(30)[:, None, None]

    def text(state, order):
        return "".join(
            f"4\nProperties=species:S:1:pos:R:3 energy={100 * state + k}\n"
            + "".join(f"C {x:.8f} {y:.8f} {z:.8f}\n" for x, y, z in steps[k])
            for k in order
        )

    (tmp_path / "m_s0.xyz").write_text(text(0, range(30)))
    (tmp_path / "m_s1.xyz").write_text(text(1, RNG.permutation(30)))
    energy = run(tmp_path, *sorted(tmp_path.glob("*.xyz")))[1].batch(slice(None)).energy
    assert (energy[:, 1] - energy[:, 0] == 100).all() and len(energy) == 30


def test_numbered_keys_are_states_and_win_over_the_plain_ones(tmp_path):
    head = "1\nProperties=species:S:1:pos:R:3:forces:R:3:forces_0:R:3:forces_1:R:3:velocities:R:3"
    info = (
        "energy=5 energy_0=-1.5 energy_1=2.5 active_state=1 hop=1 kinetic_energy=0.25 level_of_theory=CASSCF charge=-1"
    )
    lines = [
        f"{head} {info} time=0.5 step=1 trajectory=t\nH 0 0 0 9 9 9 1 2 3 4 5 6 0.1 0.2 0.3\n",
        f"{head} energy_1=3.5 active_state=1 hop=0 level_of_theory=CASSCF charge=-1 time=1 step=2 trajectory=t\n"
        "H 0 0 0 9 9 9 nan nan nan 4 5 6 0.1 0.2 0.3\n",
    ]
    (tmp_path / "m.xyz").write_text("".join(lines))
    report, dataset = run(tmp_path, tmp_path / "m.xyz")
    one, two = dataset[0], dataset[1]
    assert one.energy.tolist() == [-1.5, 2.5] and one.forces[0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert two.energy_valid.tolist() == [False, True] and two.forces_valid.tolist() == [False, True]
    np.testing.assert_allclose(one.velocities, [[0.1, 0.2, 0.3]], rtol=1e-6)
    assert (one.active_state, one.hop, one.kinetic_energy, one.charge) == (1, 1, 0.25, -1)
    assert dataset.systems[0].level_of_theory == "CASSCF" and "not read" not in report.text()


def test_a_key_with_several_energies_is_of_states_only_where_it_holds_the_energy(tmp_path):
    text = frame(0, 0, extra='energies="0 1 2"') + frame(1, 0, extra='energies="10 11 12"')
    (tmp_path / "m.xyz").write_text(text)
    assert run(tmp_path, tmp_path / "m.xyz")[1].batch(slice(None)).energy.tolist() == [[0, 1, 2], [10, 11, 12]]
    (tmp_path / "m.xyz").write_text(text.replace('"0 1 2"', '"7 8 9 6"'))  # an energy of each atom, say
    report, dataset = run(tmp_path, tmp_path / "m.xyz")
    assert dataset.batch(slice(None)).energy.tolist() == [[0], [10]] and "not read: energies" in report.text()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(alphabet="ab=1. \"'{}[]T\\\t", max_size=30), max_size=6))
def test_the_quick_way_through_comment_lines_gives_what_the_slow_one_does(lines):
    read = CommentReader()
    for line in [
        *lines,
        'a=1 b="x y" c=2',
        'a=2 b="x" c=3 ',
        'a={2 b="x" c=3',
        "a=2 b='x' c=3",
        'a="2" b="x" c=3',
        *lines,
    ]:
        assert dict(zip(*read(line))) == parse_comment(line)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_windows_of_any_size_give_the_same_frames_and_sentences(data):
    text = "".join(frame(k, 0, extra=f"trajectory=t{k % 3}") for k in range(8))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(text) - 1))
        text = (
            text[:at]
            + data.draw(st.sampled_from(["", "x", "\n", "7\n", " 1.5"]))
            + text[at + data.draw(st.integers(0, 9)) :]
        )
    results = []
    for chunk in (data.draw(st.integers(1, 3000)), 1 << 22):
        reader = ExtxyzReader(io.BytesIO(text.encode()), chunk=chunk)
        frames = [
            (block.columns["energy"][k].tolist() if "energy" in block.columns else None, name)  # the key may be hit
            for block in reader
            for k, name in enumerate(block.trajectories)
        ]
        results.append((frames, reader.problems))
    assert results[0] == results[1]


def test_memory_does_not_grow_with_the_file():
    def peak(num_frames):
        text = "".join(frame(k % 40, 0, extra=f"trajectory=t{k % 7} time={k}") for k in range(40)).encode()
        source = _Repeated(text, num_frames // 40)
        spill = Spill()
        tracemalloc.start()
        for block in ExtxyzReader(source, chunk=1 << 16):
            spill.add(block, 0)
        index = spill.finish().index()
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        spill.close()
        assert len(index) == num_frames
        return result

    small, large = peak(1000), peak(8000)
    assert large - small < 7000 * 150  # an index, no frames: 7,000 of them are 2.4 MB of text


class _Repeated:
    """A text many times over."""

    def __init__(self, text, times):
        self.text, self.times, self.at = text, times, 0

    def read(self, size):
        if self.at == self.times * len(self.text):
            return b""
        start = self.at % len(self.text)
        piece = self.text[start : start + size]
        self.at += len(piece)
        return piece


def test_workers_give_what_one_process_gives(tmp_path):
    for part, numbers in (("train", range(20)), ("val", range(20, 30)), ("test", range(30, 40))):
        text = "".join(frame(k, 0, extra=f"trajectory=t{k % 3} time={k}") for k in numbers)
        (tmp_path / f"m_{part}.xyz").write_text(text[:-20] if part == "val" else text)
    sources = sorted(tmp_path.glob("*.xyz"))
    seen = []
    one, dataset = run(tmp_path, *sources, progress=lambda done, total: seen.append(done / total))
    expected = dataset.batch(slice(None))
    two, dataset = run(tmp_path, *sources, workers=2)
    assert one.text() == two.text() and seen[-1] == 1 and seen == sorted(seen)
    for name in ("positions", "energy", "forces"):
        np.testing.assert_array_equal(getattr(dataset.batch(slice(None)), name), getattr(expected, name))


def test_nothing_is_left_beside_the_output(tmp_path):
    (tmp_path / "m.xyz").write_text(frame(0, 0))
    (member,) = xyz_members(tmp_path / "m.xyz")
    assert member.size == (tmp_path / "m.xyz").stat().st_size
    run(tmp_path, tmp_path / "m.xyz")
    with pytest.raises(ValueError, match="energy key"):
        run(tmp_path, tmp_path / "m.xyz", energy_key="x")
    assert {each.name for each in tmp_path.iterdir()} - {".out.h5.lock"} == {"m.xyz", "out.h5"}


def test_active_states_that_have_no_energy_do_not_count_beyond_the_states(tmp_path):
    (tmp_path / "m.xyz").write_text(frame(0, 0, extra="active_state=2 hop=1 time=0 trajectory=t kinetic_energy=1"))
    report, dataset = run(tmp_path, tmp_path / "m.xyz")
    assert dataset.num_states == 1 and dataset[0].active_state == -1 and "not read: active_state, hop" in report.text()
    text = frame(0, 0, extra="energy_0=0 active_state=2 time=0 trajectory=t kinetic_energy=1")
    (tmp_path / "m.xyz").write_text(text)
    _, dataset = run(tmp_path, tmp_path / "m.xyz")
    assert dataset.num_states == 3 and dataset[0].energy_valid.tolist() == [True, False, False]
    (tmp_path / "m.xyz").write_text(text.replace("energy_0=0", "energy_1=0"))  # the same energy again
    assert run(tmp_path, tmp_path / "m.xyz")[1][0].energy_valid.tolist() == [False, True, False]
