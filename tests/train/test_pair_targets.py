"""References of pairs of states as a potential wants them: other order, other states, one coupling made of the other."""

from __future__ import annotations

import numpy as np
import pytest
from torch.testing import assert_close

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.train.loaders import BatchLoader
from mlff.train.pair_targets import PairTargets, frames_with, phases_are_consistent

PAIRS = ((0, 1), (0, 2), (1, 2))


def write(path, *, phase="raw", with_h: bool = False) -> HDF5Dataset:
    rng = np.random.default_rng(0)
    energy = np.sort(rng.normal(size=(6, 3)), axis=1)
    nac = rng.normal(size=(6, 3, 3, 3)).astype(np.float32)
    values = {"positions": 3 * rng.normal(size=(6, 3, 3)), "energy": energy, "nac": nac}
    values["nac_valid"] = np.ones((6, 3), bool)
    values["nac_valid"][2, 1] = False
    if with_h:
        i, j = np.array(PAIRS).T
        values["interstate_coupling"] = (nac * (energy[:, j] - energy[:, i])[:, None, :, None]).astype(np.float32)
        del values["nac"], values["nac_valid"]
    with HDF5Writer(path) as writer:
        writer.add_system("H3", [1, 1, 1], num_states=3, nac_pairs=PAIRS, phase=phase)
        writer.add_trajectory("H3", values)
    return HDF5Dataset(path)


def read(dataset: HDF5Dataset, states=None, **options):
    _, targets = BatchLoader(dataset, 5.0, states=states, pairs=PairTargets(**options)).load(np.arange(6))
    return targets


def test_interstate_couplings_are_made_of_nonadiabatic_ones_and_the_gap(tmp_path):
    dataset, other = write(tmp_path / "d.h5"), write(tmp_path / "h.h5", with_h=True)
    made = read(dataset, coupling="interstate_coupling", nac_pairs=PAIRS)
    given = read(other, coupling="interstate_coupling", nac_pairs=PAIRS)
    known = made.valid["interstate_coupling"]
    assert known[:, [0, 2]].all() and not known[6:9, 1].any() and known[:6, 1].all()
    assert_close(made.values["interstate_coupling"][known], given.values["interstate_coupling"][known], rtol=1e-5, atol=1e-6)
    back = read(other, coupling="nac", nac_pairs=PAIRS)
    direct = read(dataset, coupling="nac", nac_pairs=PAIRS)
    assert_close(back.values["nac"][known], direct.values["nac"][known], rtol=1e-5, atol=1e-6)


def test_states_in_another_order_turn_the_antisymmetric_coupling_alone(tmp_path):
    dataset = write(tmp_path / "d.h5")
    for name, sign in (("nac", -1.0), ("interstate_coupling", 1.0)):
        straight = read(dataset, coupling=name, nac_pairs=PAIRS)
        turned = read(dataset, states=[2, 0], coupling=name, nac_pairs=((0, 1),))
        assert_close(turned.values[name][:, 0], sign * straight.values[name][:, 1])
        assert_close(turned.valid[name][:, 0], straight.valid[name][:, 1])


def test_a_pair_that_data_lack_is_masked(tmp_path):
    with HDF5Writer(tmp_path / "one.h5") as writer:
        writer.add_system("H2", [1, 1], num_states=3, nac_pairs=[(0, 1)])
        writer.add_trajectory("H2", {"positions": np.eye(6)[:, :6].reshape(6, 2, 3), "energy": np.zeros((6, 3)),
                                     "nac": np.ones((6, 2, 1, 3))})  # fmt: skip
    dataset = HDF5Dataset(tmp_path / "one.h5")
    targets = read(dataset, coupling="nac", nac_pairs=PAIRS)
    assert targets.valid["nac"].all(2).all(0).tolist() == [True, False, False]
    assert not targets.values["nac"][:, 1:].any()
    assert not read(dataset, coupling="interstate_coupling", nac_pairs=((1, 2),)).valid["interstate_coupling"].any()
    assert frames_with(dataset, np.arange(6), "nac", (1, 0)) == 6
    assert frames_with(dataset, np.arange(6), "dipole", (1, 0)) == 0


@pytest.mark.parametrize(("phase", "consistent"), [("raw", False), ("tracked", True), ("aligned", True)])
def test_signs_are_shared_where_the_data_say_so(tmp_path, phase, consistent):
    assert phases_are_consistent(write(tmp_path / "d.h5", phase=phase).systems) is consistent
