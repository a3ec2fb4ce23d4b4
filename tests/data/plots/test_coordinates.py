"""Internal coordinates are what the geometry says, and the chosen ones are those that a chemist would look at."""

import numpy as np
import pytest
from ase.build import bulk

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.internal import Internal, internal_values, measure, parse_internal
from mlff.data.plots import NothingToDraw, plot_coordinates
from mlff.data.plots.automatic import choose
from mlff.data.plots.coordinates import emptiest_cut, turned

from .peroxide import columns, counts, peroxide


def test_coordinates_of_known_geometries():
    torsions = np.array([-170.0, -60.0, 0.0, 45.0, 179.0])
    positions = peroxide(torsions)
    np.testing.assert_allclose(internal_values(positions), torsions, atol=1e-9)
    np.testing.assert_allclose(internal_values(positions[:, :3]), 90.0)
    np.testing.assert_allclose(internal_values(positions[:, 1:3]), 1.45)
    mirrored = positions * [1, -1, 1]
    np.testing.assert_allclose(internal_values(mirrored), -torsions, atol=1e-9)
    straight = np.arange(12.0).reshape(1, 4, 3)
    assert np.isnan(internal_values(straight)[0]) and internal_values(straight[:, :3])[0] == pytest.approx(180)


def test_coordinates_are_those_of_ase(azobenzene):
    rows = np.array([0, 700, 2000])
    system = azobenzene.systems[0]
    for atoms in ((5, 6), (5, 6, 7), (5, 6, 7, 8)):
        get = {2: "get_distance", 3: "get_angle", 4: "get_dihedral"}[len(atoms)]
        expected = [getattr(azobenzene[k].to_ase(), get)(*atoms) for k in rows]
        found = measure(system, rows, [atoms])[:, 0]
        np.testing.assert_allclose(found % 360 if len(atoms) == 4 else found, expected, atol=1e-8)


def test_a_periodic_cell_gives_the_nearest_images(tmp_path):
    positions = peroxide(np.array([40.0, 50.0]))
    cells = np.stack([np.diag([4.0, 5.0, 6.0]), [[4.5, 0, 0], [1.0, 5.0, 0], [0, 0.5, 6.0]]])
    folded = np.stack([(p @ np.linalg.inv(c) + 0.9) % 1.0 @ c for p, c in zip(positions, cells)])
    with HDF5Writer(tmp_path / "cell.h5") as writer:
        writer.add_system("H2O2", [1, 8, 8, 1])
        writer.add_trajectory("H2O2", {"positions": folded, "cell": cells, "pbc": np.ones((2, 3), bool)}, name="a")
    system = HDF5Dataset(tmp_path / "cell.h5").systems[0]
    np.testing.assert_allclose(measure(system, np.arange(2), [(0, 1, 2, 3)])[:, 0], [40, 50], atol=1e-8)
    np.testing.assert_allclose(measure(system, np.arange(2), [(0, 1), (1, 2)]), [[1.0, 1.45]] * 2)


def test_azobenzene_is_drawn_by_its_cnnc_torsion(azobenzene):
    chosen = choose(azobenzene.systems[0], np.arange(0, 2194, 7))
    assert chosen[3] == Internal((5, 6, 7, 8))
    assert [each.kind for each in chosen] == ["distance", "distance", "angle", "torsion", "torsion"]
    assert chosen[3].name(azobenzene.systems[0].atomic_numbers) == "C5–N6–N7–C8"


def test_the_iminium_ion_is_drawn_by_its_double_bond_and_its_torsions(shared_data, tmp_path):
    from mlff.data.importers import import_sources

    path = tmp_path / "sharc.h5"
    import_sources([shared_data / "surface_hopping" / "sharc_v2_ch2nh2"], path)
    system = HDF5Dataset(path).systems[0]
    chosen = choose(system, np.arange(0, system.num_frames, 2))
    names = [each.name(system.atomic_numbers) for each in chosen]
    assert names[0] == "C0–N1" and [each.kind for each in chosen].count("torsion") == 2
    assert all(set(each.atoms[1:3]) == {0, 1} for each in chosen if each.kind == "torsion")


def test_a_small_cell_whose_atoms_meet_several_images_offers_no_coordinate(tmp_path):
    for size in (1, 2):
        atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * size
        frames = {"positions": atoms.positions[None], "cell": atoms.cell.array[None], "pbc": np.ones((1, 3), bool)}
        with HDF5Writer(tmp_path / f"{size}.h5") as writer:
            writer.add_system("NaCl", atoms.numbers)
            writer.add_trajectory("NaCl", frames, name="a")
    with pytest.raises(NothingToDraw, match="several images"):
        plot_coordinates(HDF5Dataset(tmp_path / "1.h5"))
    assert len(choose(HDF5Dataset(tmp_path / "2.h5").systems[0], np.arange(1))) == 5


def test_what_is_drawn_is_what_was_read(dataset):
    figure = plot_coordinates(dataset, "H2O2", internal=["1-2", "0-1-2-3"])
    length, _, torsion, spread = figure.axes
    assert torsion.get_title(loc="left") == "Torsion H0–O1–O2–H3" and length.get_title(loc="left") == "Distance O1–O2"
    drawn = {}
    for line in torsion.lines:
        x, y = line.get_data()
        for time, value in zip(x[np.isfinite(x)], y[np.isfinite(x)]):
            drawn.setdefault(round(float(time), 3), set()).add(round(float(value), 6))
    assert drawn == {0.5 * k: {150.0 + 15 * k} for k in range(6)}
    active = np.concatenate([columns(k)["active_state"] for k in range(3)])
    assert {name: int(values.sum()) for name, (values, _) in counts(spread).items()} == {
        f"_{state}": int((active == state).sum()) for state in range(3)
    }


def test_a_torsion_begins_where_it_is_crossed_the_least():
    around = np.array([170.0, -175, 178, -160, 175])
    cut = emptiest_cut([around], around)
    assert cut == 0 and np.abs(np.diff(turned(around, cut))).max() < 30
    assert emptiest_cut([np.array([-100.0, 0, 100])], np.array([-100.0, 0, 100])) == -180


@pytest.mark.parametrize("text", ["0", "0-1-2-3-1", "a-b", "0–x", "", "1--2", "-1-2"])
def test_a_coordinate_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="counted from 0, such as 0-5"):
        parse_internal(text, 4)


@pytest.mark.parametrize("text", ["0-0", "0-4", "1-2-1"])
def test_atoms_that_are_not_there_are_refused(text):
    with pytest.raises(ValueError, match="different atoms counted from 0 to 3"):
        parse_internal(text, 4)
