"""The reader of extended xyz: ASE's numbers from whole files, every whole frame from broken ones, nothing silently."""

import io
import zipfile
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data.importers.xyz.comment import parse_comment
from mlff.data.importers.xyz.reader import ExtxyzReader

RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def parse_extxyz(data, **options):
    """What the reader finds in the bytes, a frame at a time; one state is without its axis."""
    reader = ExtxyzReader(io.BytesIO(data), **options)
    frames = []
    for block in reader:
        for k, trajectory in enumerate(block.trajectories):
            own = {name: values[k] for name, values in block.columns.items()}
            one = own.get("energy", own.get("stress", [0]))
            if len(one) == 1 and own.get("forces", np.zeros((1, 1, 3))).shape[1] == 1:
                own |= {"energy": own["energy"][0]} if "energy" in own else {}
                own |= {"forces": own["forces"][:, 0]} if "forces" in own else {}
                own |= {"stress": own["stress"][0]} if "stress" in own else {}
            absent = {"energy": np.nan, "forces": None, "stress": None, "velocities": None, "cell": None, "time": np.nan}
            frames.append(SimpleNamespace(numbers=block.numbers, trajectory=trajectory, **absent | own))
    quantities = reader.quantities
    return SimpleNamespace(
        frames=frames,
        problems=reader.problems,
        energy_key=quantities.energy_key,
        forces_key=quantities.forces_key,
        unread=tuple(quantities.unread),
    )


def written(*frames, **options):
    """The bytes that ASE writes for the frames."""
    buffer = io.StringIO()
    ase.io.write(buffer, list(frames), format="extxyz", **options)
    return buffer.getvalue().encode()


def labelled(atoms, energy=-1.0, forces=None):
    forces = np.arange(3.0 * len(atoms)).reshape(-1, 3) + 0.25 if forces is None else forces
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


def simple(count, energy, x=0.0):
    """A frame as text: ``count`` hydrogen atoms on a line."""
    rows = "".join(f"H {x} 0.0 {k}.0 0.5 0.0 -{k}.25\n" for k in range(count))
    return f"{count}\nProperties=species:S:1:pos:R:3:forces:R:3 energy={energy}\n{rows}"


def same_as_ase(data, **options):
    parsed = parse_extxyz(data, **options)
    expected = list(ase.io.iread(io.StringIO(data.decode()), format="extxyz"))
    assert len(parsed.frames) == len(expected) and not parsed.problems
    for mine, theirs in zip(parsed.frames, expected, strict=True):
        np.testing.assert_array_equal(mine.numbers, theirs.numbers)
        np.testing.assert_array_equal(mine.positions, theirs.positions)
        np.testing.assert_array_equal(mine.pbc, theirs.pbc)
        np.testing.assert_array_equal(np.zeros((3, 3)) if mine.cell is None else mine.cell, theirs.cell.array)
        results = theirs.calc.results if theirs.calc else {}
        assert mine.energy == results["energy"] if "energy" in results else np.isnan(mine.energy)
        for name in ("forces", "stress"):
            assert (getattr(mine, name) is None) == (name not in results)
            if name in results:
                np.testing.assert_allclose(getattr(mine, name), results[name], rtol=1e-15)
        assert theirs.info.get("trajectory") is None or mine.trajectory == str(theirs.info["trajectory"])
        assert theirs.info.get("time") is None or mine.time == theirs.info["time"]
    return parsed


def test_the_shared_sample_reads_as_with_ase(shared_data):
    with zipfile.ZipFile(shared_data / "azobenzene_gfn2" / "azo.zip") as archive:
        for name in archive.namelist():
            lines = archive.read(name).splitlines(keepends=True)[: 26 * 120]
            parsed = same_as_ase(b"".join(lines))
            assert len(parsed.frames) == 120 and parsed.unread == ()


@RELAXED
@given(data=st.data())
def test_what_ase_writes_reads_as_with_ase(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    frames = []
    for _ in range(data.draw(st.integers(1, 4))):
        count = data.draw(st.integers(1, 6))
        atoms = Atoms(
            rng.integers(1, 80, count), rng.normal(scale=10.0 ** data.draw(st.integers(-3, 3)), size=(count, 3))
        )
        if data.draw(st.booleans()):
            atoms.cell = rng.normal(size=(3, 3)) + 5 * np.eye(3)
            atoms.pbc = rng.random(3) < 0.5
        results = {"energy": rng.normal() * 1e4, "forces": rng.normal(size=(count, 3))}
        if atoms.cell.rank == 3:
            results["stress"] = rng.normal(size=6)
        atoms.calc = SinglePointCalculator(atoms, **results)
        if data.draw(st.booleans()):
            atoms.info.update(trajectory="run 1", time=float(rng.integers(100)), note="a=b c", flag=True, list=[1, 2])
        frames.append(atoms)
    same_as_ase(written(*frames))


@RELAXED
@given(data=st.data())
def test_a_truncated_file_gives_every_whole_frame_and_says_so(data):
    counts = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    frames = [simple(count, float(k)) for k, count in enumerate(counts)]
    text = "".join(frames)
    stop = data.draw(st.integers(0, len(text)))
    ends = np.cumsum([len(each) for each in frames])
    parsed = parse_extxyz(text[:stop].encode())
    whole = int((ends <= stop).sum())
    # without its last characters the last line may still be whole, but a shorter number: no reader can tell
    assert [f.energy for f in parsed.frames][:whole] == list(range(whole)) and len(parsed.frames) in (whole, whole + 1)
    assert all(len(f.positions) == counts[k] for k, f in enumerate(parsed.frames))
    left = text[ends[whole - 1] if whole else 0 : stop]
    if len(parsed.frames) == whole and left.strip():
        assert len(parsed.problems) == 1 and "dropped" in parsed.problems[0]


def test_a_frame_that_is_damaged_does_not_choose_the_keys():
    damaged = "1\n1\n!! disk error !!\nH 0 0.0 0.0 0.5 0.0 -0.25\n"
    for garbage in (damaged, "1\nno properties\nH 0 0 0\n"):
        parsed = parse_extxyz((garbage + simple(1, 1.0, x=1)).encode())
        assert parsed.frames[-1].energy == 1.0 and parsed.frames[-1].forces is not None


@RELAXED
@given(data=st.data())
def test_a_mutilated_file_loses_only_the_frames_that_were_touched(data):
    counts = data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=6))
    lines, owner = [], []
    for k, count in enumerate(counts):
        own = simple(count, float(k), x=k).splitlines(keepends=True)
        lines, owner = lines + own, owner + [k] * len(own)
    touched = set()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        how = data.draw(st.sampled_from(["delete", "cut", "garbage", "duplicate"]))
        touched.add(owner[at])
        if how == "delete":  # without both its head lines, a frame's atoms seem to be the ones of the frame before
            touched.add(owner[max(at - 1, 0)])
            del lines[at], owner[at]
        elif how == "duplicate":
            lines.insert(at, lines[at])
            owner.insert(at, owner[at])
        elif how == "cut":
            lines[at] = lines[at][: len(lines[at]) // 2].rstrip() + "\n"
        else:
            lines[at] = "!! disk error !!\n"
        if not lines:
            break
    parsed = parse_extxyz("".join(lines).encode())
    for k in set(range(len(counts))) - touched:
        # a count that was lost or that stands twice can take the next frame's first lines for its own
        found = [
            f
            for f in parsed.frames
            if f.energy == k and len(f.positions) == counts[k] and (f.positions[:, 0] == k).all()
        ]
        assert len(found) == 1, "".join(lines)
    for frame in parsed.frames:
        assert np.isfinite(frame.positions).all()


@RELAXED
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_reported(data):
    parsed = parse_extxyz(data)
    assert parsed.frames or parsed.problems or not data.decode(errors="replace").strip()


@RELAXED
@given(order=st.permutations(range(4)))
def test_columns_and_keys_may_come_in_any_order(order):
    blocks = [
        ("species:S:1", ["O", "H"]),
        ("pos:R:3", ["0 0 0", "0 0 1.5"]),
        ("forces:R:3", ["1 2 3", "-1 -2 -3"]),
        ("tag:I:1", ["0", "1"]),
    ]
    properties = ":".join(blocks[k][0] for k in order)
    body = "\n".join(" ".join(blocks[k][1][row] for k in order) for row in range(2))
    text = f'2\nenergy=-4.5 pbc="T F F" Properties={properties} Lattice="9 0 0 0 9 0 0 0 9"\n{body}\n'
    (frame,) = parse_extxyz(text.encode()).frames
    assert frame.numbers.tolist() == [8, 1] and frame.energy == -4.5 and frame.pbc.tolist() == [True, False, False]
    assert frame.forces.tolist() == [[1, 2, 3], [-1, -2, -3]] and frame.positions[1, 2] == 1.5


@pytest.mark.parametrize(
    ("text", "energies", "words"),
    [
        ("", [], None),
        ("\n\n", [], None),
        (simple(2, 1) + "\n\n" + simple(2, 2) + "\n", [1, 2], None),
        (simple(2, 1).replace("\n", "\r\n"), [1], None),
        (simple(2, 1)[:-8] + "\n" + simple(2, 2), [2], "line 1 to 4: dropped, line 4 has 6 columns, 7 were expected"),
        ("3\n" + simple(2, 1)[2:] + simple(2, 2), [2], "line 1 to 4: dropped, the frame ends after 2 of 3 atoms"),
        ("1\n" + simple(2, 1)[2:] + simple(2, 2), [2], "it has more atom lines than its 1 atoms"),
        (simple(2, 1) + "the end\n", [1], "line 5 to the end, line 5: dropped, 'the end' is not a number of atoms"),
        (simple(2, 1).replace("H", "Qq") + simple(1, 2), [2], "'Qq' is not an element"),
        (simple(2, 1).replace("0.5", "0.5.") + simple(1, 2), [2], "a value cannot be read"),
        (simple(2, 1, x="nan") + simple(1, 2), [2], "a position is NaN or infinite"),
        (simple(2, 1).replace("species", "spices") + simple(1, 2), [2], "have no species"),
        (simple(2, 1).replace("R:3", "R:x") + simple(1, 2), [2], "cannot be read"),
        (simple(2, "one") + simple(1, 2), [2], "could not convert string to float: 'one'"),
        ("0\n\n" + simple(1, 2), [2], "'0' is not a number of atoms"),
        ("99999999999\nx\n" + simple(1, 2), [2], "the frame ends after 0 of 99999999999 atoms"),
        (simple(2, 1).split("H")[0], [], "the file ends after 0 of 2 atoms"),
        ("2", [], "the file ends after 0 of 2 atoms"),
    ],
)
def test_every_kind_of_damage_is_named_with_its_place(text, energies, words):
    parsed = parse_extxyz(text.encode())
    assert [frame.energy for frame in parsed.frames] == energies
    assert (words is None and not parsed.problems) or words in parsed.problems[0]


def test_a_last_number_that_was_cut_off_is_noticed_where_columns_have_a_width():
    data = written(labelled(Atoms("H3", np.eye(3))), labelled(Atoms("H3", 2 * np.eye(3))))
    assert len(parse_extxyz(data.rstrip(b"\n")).frames) == 2
    parsed = parse_extxyz(data[:-4])
    assert len(parsed.frames) == 1 and "its last line is cut off" in parsed.problems[0]


def test_missing_forces_are_none_and_counted():
    bare = "1\nProperties=species:S:1:pos:R:3 energy=2\nH 0 0 0\n"
    parsed = parse_extxyz((simple(1, 1) + bare + simple(1, 3)).encode())
    assert parsed.frames[1].forces is None and len(parsed.frames) == 3
    assert parsed.problems == ["forces (key `forces`) missing in 1 of 3 frames, first at line 4: masked"]
    parsed = parse_extxyz((simple(1, 1) + simple(1, 2).replace("energy=2", "")).encode())
    assert np.isnan(parsed.frames[1].energy) and "energy (key `energy`) missing in 1 of 2" in parsed.problems[0]
    parsed = parse_extxyz(simple(2, 1).replace("-1.25", "nan").encode())
    assert "forces (key `forces`) missing in 1 of 1" in parsed.problems[0]


@pytest.mark.parametrize(
    ("energy", "forces"), [("REF_energy", "REF_forces"), ("dft_energy", "force"), ("Energy", "Forces")]
)
def test_known_names_are_found_from_the_first_frame(energy, forces):
    text = simple(1, 1).replace("energy", energy).replace("forces", forces) + simple(1, 2)
    parsed = parse_extxyz(text.encode())
    assert (parsed.energy_key, parsed.forces_key) == (energy, forces) and parsed.frames[0].forces is not None
    assert parsed.frames[1].forces is None and np.isnan(parsed.frames[1].energy)  # other names than the first frame's
    assert len(parsed.problems) == 2 and set(parsed.unread) == {"energy", "column forces"}


def test_given_names_are_used_and_others_listed_as_not_read():
    text = simple(1, 1).replace("forces", "mine").replace("energy=1", "energy=1 E=7 dipole=3")
    parsed = parse_extxyz(text.encode(), energy_key="E", forces_key="mine")
    assert (
        parsed.frames[0].energy == 7
        and parsed.frames[0].forces is not None
        and set(parsed.unread) == {"energy", "dipole"}
    )


def test_constraints_do_not_zero_forces():
    atoms = labelled(Atoms("OH2", [[0, 0, 0], [0, 0, 1], [0, 1, 0]]))
    forces = atoms.get_forces().copy()
    atoms.set_constraint(FixAtoms([0, 1]))
    data = written(atoms, columns=["symbols", "positions", "forces", "move_mask"])
    assert b"move_mask" in data
    np.testing.assert_array_equal(parse_extxyz(data).frames[0].forces, forces)
    assert (
        ase.io.read(io.StringIO(data.decode()), format="extxyz").get_forces()[0] == 0
    ).all()  # as ASE hands them out


def test_velocities_come_from_momenta():
    atoms = bulk("Cu")
    atoms.set_velocities([[0.1, 0.2, 0.3]])
    (frame,) = parse_extxyz(written(atoms)).frames
    np.testing.assert_allclose(frame.velocities, [[0.1 / 10.1805, 0.2 / 10.1805, 0.3 / 10.1805]], rtol=1e-5)


def test_virial_is_minus_volume_times_stress():
    body = 'Lattice="2 0 0 0 2 0 0 0 2" Properties=species:S:1:pos:R:3 virial="1 2 3 2 4 5 3 5 6"\nCu 0 0 0\n'
    (frame,) = parse_extxyz(("1\n" + body).encode()).frames
    np.testing.assert_allclose(frame.stress, -np.array([1, 4, 6, 5, 3, 2]) / 8)


def test_every_counts_whole_frames_and_keeps_the_first():
    text = "".join(simple(1, k) for k in range(10))
    assert [f.energy for f in parse_extxyz(text.encode(), every=4).frames] == [0, 4, 8]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [("a=1", "a", "1"), ('a="1 2"', "a", "1 2"), ("a = 'x y'", "a", "x y"), ("flag b=2", "flag", "T"), ("a={1 2}", "a", "1 2"),
     ('a="say \\"x\\"" b=1', "b", "1"), ("a=[[1, 2], [3, 4]]", "a", "[[1, 2], [3, 4]]")],
)  # fmt: skip
def test_comment_lines_are_taken_apart(text, key, value):
    assert parse_comment(text)[key] == value


def test_escaped_quotes_are_read_as_quotes():
    assert parse_comment(r'a="say \"x\" \\ y" b=1') == {"a": r'say "x" \ y', "b": "1"}
