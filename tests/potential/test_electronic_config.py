"""What a potential may be told of its states, what it answers to contradictions, and that a checkpoint keeps all of it."""

import pytest
import torch

from mlff.graph import build_graph
from mlff.models import model_config
from mlff.potential.checkpoint import load_potential, save_potential
from mlff.potential.potential import Potential

STATES = {
    "num_states": 4, "multiplicities": (1, 1, 1, 3), "state_labels": ("S0", "S1", "S2", "T1"), "parities": (1, -1, 1, 1),
    "dipole_pairs": ((0, 0), (0, 1)), "soc_pairs": ((0, 3),), "total_charge": 1.0,
}  # fmt: skip


def make(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Potential.build(model_config("painn", num_features=8, num_layers=1), species=(1, 8), **options).eval()


def water():
    return build_graph([[0, 0, 0], [0.96, 0, 0.1], [-0.24, 0.93, 0]], [8, 1, 1], 5.0)


@pytest.mark.parametrize("kind", [{"couplings": "interstate"}, {"couplings": "direct"}, {"surfaces": "diabatic"}], ids=str)
def test_a_checkpoint_brings_back_every_head(kind, tmp_path):
    saved = make(**STATES, **kind, labelled_atoms=(8, 1, 1))
    loaded = load_potential(save_potential(saved, tmp_path / "m"))
    assert loaded.config == saved.config
    before, after = saved(water(), couplings=True), loaded(water(), couplings=True)
    assert {"nac", "dipole", "soc_magnitude", "interstate_coupling"} < set(before)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_pairs_are_all_of_equal_multiplicity_unless_they_are_chosen():
    assert make(**STATES, couplings="interstate").config.nac_pairs == ((0, 1), (0, 2), (1, 2))
    assert make(num_states=3, surfaces="diabatic").config.nac_pairs == ((0, 1), (0, 2), (1, 2))
    assert make(num_states=3, couplings="direct", nac_pairs=((1, 2),)).config.nac_pairs == ((1, 2),)
    assert make(num_states=3).config.nac_pairs == ()


def test_a_potential_of_one_state_is_not_changed_by_what_others_have():
    plain, same = make(), make(surfaces="diabatic")
    assert list(plain.state_dict()) == list(same.state_dict())
    assert torch.equal(plain(water())["energy"], same(water())["energy"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_states": 2, "multiplicities": (1,)}, r"`multiplicities` is \[1\], but there are 2 states"),
        ({"num_states": 2, "multiplicities": (1, 0)}, "a multiplicity is"),
        ({"num_states": 2, "parities": (1, 0)}, "a parity is 1 or -1"),
        ({"num_states": 2, "state_labels": ("S0",)}, "`state_labels`"),
        ({"num_states": 2, "surfaces": "diabatic", "couplings": "direct"}, "diabatic surfaces have their couplings"),
        ({"num_states": 3, "surfaces": "diabatic", "nac_pairs": ((0, 1),)}, "couple all pairs"),
        ({"num_states": 2, "nac_pairs": ((0, 1),)}, "without `couplings`"),
        ({"num_states": 2, "couplings": "direct", "nac_pairs": ((1, 0),)}, "a pair is"),
        ({"num_states": 2, "couplings": "direct", "nac_pairs": ((0, 2),)}, "states 0 to 1"),
        ({"num_states": 2, "couplings": "direct", "nac_pairs": ((0, 1), (0, 1))}, "a pair twice"),
        ({"num_states": 2, "multiplicities": (1, 3), "couplings": "direct"}, "no two of the states"),
        ({"num_states": 2, "multiplicities": (1, 3), "couplings": "direct", "nac_pairs": ((0, 1),)}, "differ in multiplicity"),
        ({"num_states": 2, "multiplicities": (1, 3), "dipole_pairs": ((0, 1),)}, "differ in multiplicity"),
        ({"num_states": 2, "soc_pairs": ((0, 1),)}, "needs `multiplicities`"),
        ({"num_states": 2, "multiplicities": (1, 1), "soc_pairs": ((0, 1),)}, "multiplicities 1 and 1"),
        ({"num_states": 2, "multiplicities": (1, 5), "soc_pairs": ((0, 1),)}, "multiplicities 1 and 5"),
        ({"couplings": "direct"}, "no two of the states"),
        ({"coupling": "direct"}, "coupling: Extra inputs are not permitted"),
        ({"labelled_atoms": ()}, "expected 1 to 118"),
    ],
)
def test_contradictions_are_answered_in_a_sentence(options, words):
    with pytest.raises(ValueError, match=words) as raised:
        make(**options)
    assert "\n" not in str(raised.value)


def test_two_triplets_couple_by_spin_and_by_motion():
    config = make(num_states=2, multiplicities=(3, 3), couplings="interstate", soc_pairs=((0, 1),)).config
    assert config.nac_pairs == config.soc_pairs == ((0, 1),)


def test_couplings_of_a_potential_without_are_refused():
    with pytest.raises(ValueError, match="this potential knows none"):
        make(num_states=2)(water(), couplings=True)


def test_couplings_can_be_had_without_forces_and_properties_left_out():
    for kind in ({"couplings": "interstate"}, {"surfaces": "diabatic"}):
        potential = make(**STATES, **kind)
        everything = potential(water(), couplings=True)
        some = potential(water(), forces=False, couplings=True, properties=False)
        assert "forces" not in some and "dipole" not in some
        torch.testing.assert_close(some["nac"], everything["nac"])
        few = potential(water(), states=(1,), couplings=True)
        torch.testing.assert_close(few["nac"], everything["nac"])
        torch.testing.assert_close(few["forces"], everything["forces"][:, [1]])
