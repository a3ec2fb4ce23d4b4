"""H5MD files of other programs: units and elements from what the file says, and a sentence for what it does not."""

import h5py
import numpy as np
import pyh5md
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff.data import HDF5Dataset
from mlff.data.h5md_units import h5md_text, into
from mlff.data.importers import import_sources
from mlff.data.importers.h5md.file import H5MD
from mlff.data.importers.trajectory import ImportOptions
from mlff.properties import PROPERTIES
from mlff.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL

FRAMES = 6
NUMBERS = [8, 1, 1]
MASSES = [15.999, 1.008, 1.008]


def water(path, *, units=True, change=None, name="atoms", species="numbers"):
    """A file such as pyh5md's users write, in nm, ps and kJ/mol; ``change(file)`` alters it."""
    rng = np.random.default_rng(0)
    values = {
        "position": np.array([[0, 0, 0], [0.096, 0, 0], [0, 0.096, 0]]) + rng.normal(0, 0.001, (FRAMES, 3, 3)),
        "velocity": rng.normal(size=(FRAMES, 3, 3)),
        "force": rng.normal(size=(FRAMES, 3, 3)),
    }
    unit = {"position": "nm", "velocity": "nm ps-1", "force": "kJ mol-1 nm-1"}
    energy = rng.normal(size=FRAMES)
    with pyh5md.File(path, "w", author="a user", creator="simulator", creator_version="3.1") as file:
        group = file.particles_group(name)
        group.create_box(dimension=3, boundary=["periodic"] * 3, store="fixed", data=np.array([2.0, 2.5, 3.0]))
        elements = {
            key: pyh5md.element(group, key, store="time", time=True, shape=(3, 3), dtype="f8") for key in values
        }
        observables = file.require_group("observables")
        observed = pyh5md.element(observables, "potential_energy", store="time", time=True, shape=(), dtype="f8")
        for k in range(FRAMES):
            for key, element in elements.items():
                element.append(values[key][k], 10 * k, 0.001 * k)
            observed.append(energy[k], 10 * k, 0.001 * k)
        if species == "numbers":
            pyh5md.element(group, "species", store="fixed", data=np.array(NUMBERS))
        pyh5md.element(group, "mass", store="fixed", data=np.array(MASSES))
    with h5py.File(path, "r+") as file:
        group = file[f"particles/{name}"]
        if units:
            for key, text in unit.items():
                group[f"{key}/value"].attrs["unit"] = text
                group[f"{key}/time"].attrs["unit"] = "ps"
            group["box/edges"].attrs["unit"] = "nm"
            group["mass"].attrs["unit"] = "u"
            file["observables/potential_energy/value"].attrs["unit"] = "kJ mol-1"
        if change is not None:
            change(file)
    return values, energy


def read(path):
    """The trajectories with frames, and all problems."""
    found = list(H5MD.read([path], ImportOptions()))
    return [each for each in found if each.num_frames], [problem for each in found for problem in each.problems]


def test_a_file_with_units_is_read_in_ours(tmp_path):
    values, energy = water(tmp_path / "md.h5")
    assert H5MD.matches(tmp_path / "md.h5")
    (each,), problems = read(tmp_path / "md.h5")
    assert not problems and each.name == "md" and each.system.atomic_numbers == (8, 1, 1)
    np.testing.assert_allclose(each.columns["positions"], values["position"] * 10)
    np.testing.assert_allclose(each.columns["velocities"], values["velocity"] * 0.01)
    np.testing.assert_allclose(each.columns["forces"][:, :, 0], values["force"] * KJ_PER_MOL / 10)
    np.testing.assert_allclose(each.columns["energy"][:, 0], energy * KJ_PER_MOL)
    np.testing.assert_allclose(each.columns["time"], np.arange(FRAMES))
    np.testing.assert_array_equal(each.columns["step"], 10 * np.arange(FRAMES))
    np.testing.assert_allclose(each.columns["cell"], np.tile(np.diag([20.0, 25.0, 30.0]), (FRAMES, 1, 1)))
    assert each.columns["pbc"].all() and each.dt == pytest.approx(1) and each.system.program == "simulator 3.1"
    import_sources([tmp_path / "md.h5"], tmp_path / "out.h5")
    assert len(HDF5Dataset(tmp_path / "out.h5")) == FRAMES


def test_units_that_are_not_said_are_assumed_and_told(tmp_path):
    values, _ = water(tmp_path / "md.h5", units=False)
    (each,), problems = read(tmp_path / "md.h5")
    np.testing.assert_array_equal(each.columns["positions"], values["position"])
    assert any("`position` says no unit; Angstrom is assumed" in problem for problem in problems)
    assert any("`force` says no unit; eV Angstrom-1 is assumed" in problem for problem in problems)


def rare_velocities(file):
    group = file["particles/atoms/velocity"]
    held = group["value"][::2]
    unit = group["value"].attrs["unit"]
    for key in ("value", "step", "time"):
        del group[key]
    group["value"], group["step"] = held, np.arange(0, 10 * FRAMES, 20)
    group["value"].attrs["unit"] = unit


def test_an_element_that_was_sampled_less_often_is_put_at_its_steps(tmp_path):
    values, _ = water(tmp_path / "md.h5", change=rare_velocities)
    (each,), problems = read(tmp_path / "md.h5")
    np.testing.assert_allclose(each.columns["velocities"][::2], values["velocity"][::2] * 0.01)
    assert np.isnan(each.columns["velocities"][1::2]).all()
    assert any("`velocity` is known for 3 of 6 frames" in problem for problem in problems)


def linear_times(file):
    group = file["particles/atoms/position"]
    for key, increment, offset in (("step", 10, 100), ("time", 0.001, 0.1)):
        del group[key]
        group[key] = increment
        group[key].attrs["offset"] = offset
    group["time"].attrs["unit"] = "ps"
    for name in ("velocity", "force"):
        for key in ("step", "time"):
            del file[f"particles/atoms/{name}/{key}"]
            file[f"particles/atoms/{name}/{key}"] = group[key]


def test_steps_and_times_may_be_an_increment_with_an_offset(tmp_path):
    water(tmp_path / "md.h5", change=linear_times)
    (each,), _ = read(tmp_path / "md.h5")
    np.testing.assert_array_equal(each.columns["step"], 100 + 10 * np.arange(FRAMES))
    np.testing.assert_allclose(each.columns["time"], 100 + np.arange(FRAMES))
    assert np.isfinite(each.columns["velocities"]).all()


def types(file):
    del file["particles/atoms/species"]
    file["particles/atoms/species"] = np.array([2, 1, 1])


def names(file):
    del file["particles/atoms/species"]
    file["particles/atoms"].create_dataset("species", data=[0, 1, 1], dtype=h5py.enum_dtype({"O": 0, "H": 1}, "i1"))


def none(file):
    del file["particles/atoms/species"]


@pytest.mark.parametrize(
    ("change", "words"), [(types, "are types, not atomic numbers"), (names, None), (none, "it has no species")]
)
def test_elements_follow_from_numbers_names_or_masses(tmp_path, change, words):
    water(tmp_path / "md.h5", change=change)
    (each,), problems = read(tmp_path / "md.h5")
    assert each.system.atomic_numbers == (8, 1, 1)
    assert (words is None and not problems) or any(words in problem for problem in problems)


def no_elements(file):
    none(file)
    del file["particles/atoms/mass"]


def odd_unit(file):
    file["particles/atoms/position/value"].attrs["unit"] = "furlong"


def wrong_kind(file):
    file["particles/atoms/force/value"].attrs["unit"] = "nm ps-1"


def plane(file):
    held = file["particles/atoms/position/value"][:, :, :2]
    del file["particles/atoms/position/value"]
    file["particles/atoms/position/value"] = held


def no_edges(file):
    del file["particles/atoms/box/edges"]


def no_particles(file):
    del file["particles/atoms/position"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_elements, "neither species nor masses"),
        (odd_unit, "the symbol 'furlong'"),
        (wrong_kind, "is not of the kind of eV/angstrom"),
        (plane, "frames, atoms and 3 were expected"),
        (no_edges, "its box has no edges"),
        (no_particles, "holds no trajectory"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(tmp_path, change, words):
    water(tmp_path / "md.h5", change=change)
    with pytest.raises(ValueError, match="nothing was written") as found:
        import_sources([tmp_path / "md.h5"], tmp_path / "out.h5")
    assert words in str(found.value)


def test_several_groups_are_several_trajectories(tmp_path):
    water(tmp_path / "md.h5", change=lambda file: file.copy("particles/atoms", "particles/again"))
    trajectories, _ = read(tmp_path / "md.h5")
    assert sorted(each.name for each in trajectories) == ["again", "atoms"]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_truncated_and_overwritten_files_end_in_sentences(tmp_path, data):
    if not (tmp_path / "whole.h5md").exists():
        water(tmp_path / "whole.h5md")
    content = bytearray((tmp_path / "whole.h5md").read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(8, len(content) - 1))]
    else:
        at = data.draw(st.integers(8, len(content) - 64))
        content[at : at + 32] = data.draw(st.binary(min_size=32, max_size=32))
    (tmp_path / "damaged.h5md").write_bytes(content)
    try:
        import_sources([tmp_path / "damaged.h5md"], tmp_path / "out.h5", overwrite=True)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("unit", "text", "factor"),
    [
        ("angstrom", "nm", 10),
        ("angstrom", "10+3 m", 1e13),
        ("fs", "60 s", 6e16),
        ("angstrom/fs", "nm ps-1", 0.01),
        ("angstrom/fs", "nm/ps", 0.01),
        ("eV", "Hartree", HARTREE),
        ("eV", "kcal/mol", KCAL_PER_MOL),
        ("eV/angstrom", "kJ mol-1 nm-1", KJ_PER_MOL / 10),
        ("eV/angstrom", "Hartree/Bohr", HARTREE / BOHR),
        ("eV/angstrom", "N", 0.6241509074460763e9),
        ("eV/angstrom^3", "GPa", 1 / 160.21766339999999),
        ("e angstrom", "Debye", 0.20819433270935603),
        ("amu", "g mol-1", 1),
    ],
)
def test_units_have_their_published_factors(unit, text, factor):
    assert into(unit, text) == pytest.approx(factor, rel=1e-9)


def test_our_units_are_written_such_that_they_read_as_themselves():
    for each in PROPERTIES.values():
        assert into(each.unit, h5md_text(each.unit)) == 1
