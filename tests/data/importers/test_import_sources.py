"""Importing: sources of every layout become one native file, whole or not at all, and nothing is lost silently."""

import zipfile

import numpy as np
import pytest

from mlff.data import HDF5Dataset
from mlff.data.importers import FORMATS, import_sources, recognise
from mlff.data.importers.xyz.members import part_of


def frame(energy, *, x=0.0, symbols="HH", trajectory=None, time=None, forces=True, extra=""):
    """A frame as text: atoms 1 angstrom apart."""
    keys = f"energy={energy} {extra}"
    keys += f" trajectory={trajectory}" if trajectory is not None else ""
    keys += f" time={time}" if time is not None else ""
    rows = "".join(f"{s} {x} 0 {k}" + (" 0.5 0 0" if forces else "") + "\n" for k, s in enumerate(symbols))
    return f"{len(symbols)}\nProperties=species:S:1:pos:R:3{':forces:R:3' if forces else ''} {keys}\n{rows}"


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"folder/{name}.xyz", text)
    return path


def run(tmp_path, *sources, **options):
    output = tmp_path / "out.h5"
    report = import_sources(sources, output, **options)
    return report, HDF5Dataset(output)


def split_energies(dataset, name="given"):
    return {part: sorted(dataset.batch(rows).energy[:, 0].tolist()) for part, rows in dataset.split(name).items()}


def test_xxmd_zip_keeps_the_given_split_and_joins_trajectories_in_time(tmp_path):
    texts = {
        f"azo_{part}_gfn2": "".join(
            frame(first + k + 10 * t, trajectory=f"t{t}", time=first + k) for t in range(2) for k in range(2)
        )
        for part, first in (("test", 4), ("train", 0), ("val", 2))
    }
    report, dataset = run(tmp_path, zipped(tmp_path / "azo.zip", **texts), split_name="time")
    assert not report.problems and "split 'time' (time): train 4, val 4, test 4" in report.text()
    assert split_energies(dataset, "time") == {"train": [0, 1, 10, 11], "val": [2, 3, 12, 13], "test": [4, 5, 14, 15]}
    assert [(t.name, t.count, t.dt) for t in dataset.trajectories] == [("t0", 6, 1.0), ("t1", 6, 1.0)]
    assert dataset.systems[0].read("time").tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert dataset.split_attrs("time")["kind"] == "time"
    assert (
        len(dataset.trajectories[0].source_sha256) == 64 and "azo.zip/folder/azo_val" in dataset.trajectories[0].source
    )


def test_the_kind_of_a_given_split_is_seen_from_the_frames(tmp_path):
    def kind(**texts):
        out = tmp_path / "kind.h5"
        import_sources([zipped(tmp_path / "kind.zip", **texts)], out, overwrite=True)
        return HDF5Dataset(out).split_attrs("given")["kind"]

    def one(t, time):
        return frame(0, trajectory=t, time=time)

    assert kind(x_train=one("a", 0) + one("b", 0), x_test=one("a", 1) + one("b", 1)) == "time"
    assert kind(x_train=one("a", 0) + one("b", 0), x_test=one("c", 1)) == "trajectory"
    assert kind(x_train=one("a", 0) + one("a", 2), x_test=one("a", 1)) == "given"
    assert kind(x_train=frame(0), x_test=frame(1)) == "given"


def test_single_files_that_differ_in_the_part_are_one_set(tmp_path):
    for part in ("train", "val", "test"):
        (tmp_path / f"m-{part}.extxyz").write_text(frame(1) + frame(2))
    _, dataset = run(tmp_path, *sorted(tmp_path.glob("*.extxyz")))
    assert {part: len(rows) for part, rows in dataset.split("given").items()} == {"train": 2, "val": 2, "test": 2}
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "only.xyz").write_text(frame(1))
    report = import_sources([tmp_path / "folder"], tmp_path / "folder.h5")
    assert report.num_frames == 1 and HDF5Dataset(tmp_path / "folder.h5").splits == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("azo_train_uks.xyz", ("azo_uks", "train")), ("test.xyz", ("", "test")), ("mal_validation.xyz", ("mal", "val")),
     ("latest.xyz", ("latest", None)), ("train_test.xyz", ("train_test", None)), ("trainings.xyz", ("trainings", None))],
)  # fmt: skip
def test_parts_are_whole_words_of_the_name(name, expected):
    assert part_of(name) == expected


def test_other_compositions_become_other_systems(tmp_path):
    (tmp_path / "mixed.xyz").write_text(
        frame(1, symbols="OHH")
        + frame(2, symbols="HOH")
        + frame(3, symbols="OHH")
        + frame(4, symbols="OHH", extra="charge=1")
    )
    _, dataset = run(tmp_path, tmp_path / "mixed.xyz")
    assert [(s.name, s.num_frames, s.charge) for s in dataset.systems] == [
        ("H2O", 2, 0),
        ("H2O_2", 1, 0),
        ("H2O_charge+1", 1, 1),
    ]
    assert dataset.systems[0].read("energy")[:, 0].tolist() == [1, 3]


def test_trajectories_of_two_sources_with_one_name_stay_apart(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.xyz").write_text(frame(1, trajectory="t0", time=0))
    _, dataset = run(tmp_path, tmp_path / "a.xyz", tmp_path / "b.xyz")
    assert [t.name for t in dataset.trajectories] == ["t0", "b/t0"]


def test_damaged_members_give_their_whole_frames_and_a_line_each(tmp_path):
    whole = "".join(frame(k) for k in range(5))
    source = zipped(tmp_path / "m.zip", m_train=whole, m_val=whole[:-30], m_test="")
    report, dataset = run(tmp_path, source)
    assert {part: len(rows) for part, rows in dataset.split("given").items()} == {"train": 5, "val": 4, "test": 0}
    assert any("m_val.xyz: line 17 to the end" in p for p in report.problems)
    assert any("m_test.xyz: the file is empty" in p for p in report.problems)
    with pytest.raises(ValueError, match="`--strict` was given and the sources have 2 problems, nothing was written"):
        import_sources([source], tmp_path / "strict.h5", strict=True)
    assert not (tmp_path / "strict.h5").exists()


def test_a_damaged_zip_member_gives_what_can_be_unpacked(tmp_path):
    rng = np.random.default_rng(0)
    text = "".join(frame(k, x=rng.normal()) for k in range(3000))
    source = zipped(tmp_path / "m.zip", m=text)
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    source.write_bytes(data)
    report, dataset = run(tmp_path, source)
    assert 0 < len(dataset) < 3000 and any("the zip member is damaged" in p for p in report.problems)


def test_missing_forces_are_masked_and_said(tmp_path):
    (tmp_path / "m.xyz").write_text(frame(1) + frame(2, forces=False) + frame(3))
    report, dataset = run(tmp_path, tmp_path / "m.xyz")
    assert report.problems == ["m.xyz: forces (key `forces`) missing in 1 of 3 frames, first at line 5: masked"]
    assert dataset.batch(slice(None)).forces_valid[:, 0].tolist() == [True, False, True]
    assert np.isnan(dataset[1].forces).all()


def test_names_of_keys_can_be_given_and_are_checked(tmp_path):
    (tmp_path / "m.xyz").write_text(frame(1, extra="E=5"))
    _, dataset = run(tmp_path, tmp_path / "m.xyz", energy_key="E")
    assert dataset[0].energy[0] == 5
    with pytest.raises(ValueError, match="no frame of m.xyz has the energy key 'F'"):
        run(tmp_path, tmp_path / "m.xyz", energy_key="F", overwrite=True)
    with pytest.raises(ValueError, match="no frame of m.xyz has the forces key 'f'"):
        run(tmp_path, tmp_path / "m.xyz", forces_key="f", overwrite=True)
    assert dataset[0].energy[0] == 5


def test_every_strides_within_each_part(tmp_path):
    texts = {f"m_{part}": "".join(frame(k) for k in range(5)) for part in ("train", "test")}
    _, dataset = run(tmp_path, zipped(tmp_path / "m.zip", **texts), every=2)
    assert split_energies(dataset) == {"train": [0, 2, 4], "val": [], "test": [0, 2, 4]}


def test_gradients_and_clashes_are_noticed(tmp_path):
    def text(sign):  # a harmonic spring of 4 eV/angstrom^2 between two atoms, swinging
        result = ""
        for k in range(40):
            stretch = 0.2 * np.sin(0.2 * k)
            force = sign * 4 * stretch
            result += (f"2\nProperties=species:S:1:pos:R:3:forces:R:3 energy={2 * stretch**2} trajectory=t time={k}\n"
                       f"H 0 0 0 0 0 {force}\nH 0 0 {1 + stretch} 0 0 {-force}\n")  # fmt: skip
        return result

    (tmp_path / "m.xyz").write_text(text(1))
    assert run(tmp_path, tmp_path / "m.xyz")[0].problems == []
    (tmp_path / "m.xyz").write_text(text(-1))
    (problem,) = run(tmp_path, tmp_path / "m.xyz", overwrite=True)[0].problems
    assert "trajectory t: dE is -1.0" in problem and "look like gradients" in problem
    (tmp_path / "m.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.3\n")
    (problem,) = [p for p in run(tmp_path, tmp_path / "m.xyz", overwrite=True)[0].problems if "closer" in p]
    assert "closer than 0.5 angstrom in 1 frames, first in frame 0 (0.30 angstrom)" in problem


def test_nothing_is_written_when_something_is_wrong(tmp_path):
    (tmp_path / "m.xyz").write_text(frame(1))
    (tmp_path / "bad.xyz").write_text("nothing here\n")
    (tmp_path / "m.dat").write_text("")
    (tmp_path / "bad.zip").write_text("no zip")
    zipped(tmp_path / "none.zip")
    out = tmp_path / "new.h5"
    for error, words, sources, options in (
        (FileNotFoundError, "there is no file or folder", ["absent.xyz"], {}),
        (ValueError, "m.dat is empty", ["m.dat"], {}),
        (ValueError, "is not a whole zip file", ["bad.zip"], {}),
        (ValueError, "holds no .xyz", ["none.zip"], {}),
        (ValueError, "no whole frame was found, nothing was written: bad.xyz: line 1", ["bad.xyz"], {}),
        (ValueError, "m.xyz was given twice", ["m.xyz", "m.xyz"], {}),
        (ValueError, "`every` is 0", ["m.xyz"], {"every": 0}),
        (ValueError, "`format` is 'xml'", ["m.xyz"], {"format": "xml"}),
        (ValueError, "no source was given", [], {}),
    ):
        with pytest.raises(error, match=words):
            import_sources([tmp_path / each for each in sources], out, **options)
    with pytest.raises(FileNotFoundError, match="does not exist; make it first"):
        import_sources([tmp_path / "m.xyz"], tmp_path / "no" / "new.h5")
    left = {each.name for each in tmp_path.iterdir() if each.suffix != ".lock"}
    assert left == {"m.xyz", "bad.xyz", "m.dat", "bad.zip", "none.zip"}
    import_sources([tmp_path / "m.xyz"], out)
    with pytest.raises(ValueError, match="exists already; choose another name, or give `--append` or `--overwrite`"):
        import_sources([tmp_path / "m.xyz"], out)


def test_formats_are_recognised(tmp_path):
    (tmp_path / "a.xyz").write_text("")
    (tmp_path / "b.zip").write_text("")
    assert [recognise(tmp_path / name) for name in ("a.xyz", "b.zip", ".")] == ["extxyz", "xxmd", "folder"]
    assert list(FORMATS)[-1] == "folder"  # any folder is one
