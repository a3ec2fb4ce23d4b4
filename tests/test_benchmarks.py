"""The scripts in benchmarks/: the accuracy table and the cards of shipped models say what was measured."""

import json

import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from click.testing import CliRunner

from benchmarks import azobenzene_reference, azobenzene_table, azobenzene_trial_card, conformers, ship_model
from mlff import Potential, load_potential, save_potential
from mlff.datasets import azobenzene
from mlff.models import model_config
from mlff.potential.checkpoint import read_document

SUMMARY = {
    "model": "painn", "num_parameters": 1234, "stop_reason": "all epochs done", "epochs": 7, "steps": 875, "best_epoch": 6,
    "wall_time_s": 1800.0, "frames_per_second": 36.1, "device": "a processor", "processes": 1, "threads": 2,
    "versions": {"mlff": "0.1.0", "torch": "2.13.0"},
    "dataset": {"data": "azobenzene.h5", "split": "time", "num_train": 1250, "level_of_theory": "GFN2-xTB"},
    "errors": {
        "test": {"num_frames": 319, "energy_mae_meV": 21.04, "forces_mae_meV_per_A": 44.96, "forces_rmse_meV_per_A": 60.5}
    },
}  # fmt: skip


@pytest.fixture
def potential():
    config = model_config("painn", num_features=4, num_layers=1, cutoff=3.0)
    return Potential.build(config, species=(1, 6, 7)).eval()


@pytest.fixture
def run(tmp_path, potential):
    """The folder of a finished run."""
    folder = tmp_path / "run"
    save_potential(potential, folder / "model", extra={"data": "azobenzene.h5", "split": "time"})
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    (folder / "config.yaml").write_text("data: {path: /somewhere/azobenzene.h5}\nepochs: 7\nout: /somewhere/run\n")
    return folder


def test_a_shipped_model_keeps_what_it_is_of_and_what_it_cost(run, tmp_path):
    into = tmp_path / "models"
    result = CliRunner().invoke(ship_model.main, [str(run), "azobenzene-painn", "--into", str(into)])
    assert result.exit_code == 0, result.output
    folder = into / "azobenzene-painn"
    extra = read_document(folder)["extra"]
    assert (extra["split"], extra["epochs"], extra["wall_time_s"]) == ("time", 7, 1800.0)
    assert load_potential(folder).species == (1, 6, 7)
    text = (folder / "README.md").read_text()
    assert "| test | 319 | 21.0 | 45.0 | – | 60.5 |" in text and "30 minutes, 7 epochs" in text
    settings = (folder / "settings.yaml").read_text()
    assert "epochs: 7" in settings and "/somewhere" not in text + settings


def test_an_unfinished_run_is_not_shipped(run):
    (run / "summary.json").unlink()
    result = CliRunner().invoke(ship_model.main, [str(run), "azobenzene-painn"])
    assert result.exit_code != 0 and "not a finished run" in result.output


def test_the_table_counts_every_frame_of_its_bins_and_gives_each_models_errors(potential, tmp_path):
    dataset = azobenzene()
    extra = {"split": "time", "epochs": 7, "wall_time_s": 1800.0, "device": "one GPU"}
    checkpoint = save_potential(potential, tmp_path / "model", extra=extra)
    row = azobenzene_table.measure("azobenzene-painn", checkpoint, dataset)
    for part, num_frames in (("val", 625), ("test", 319)):
        assert row.errors[part]["num_frames"] == num_frames
        bins = row.by_torsion[part]
        assert sum(each["num_frames"] for each in bins) == num_frames
        mean = sum(each["num_frames"] * each.get("forces_mae_meV_per_A", 0) for each in bins) / num_frames
        assert mean == pytest.approx(row.errors[part]["forces_mae_meV_per_A"], rel=1e-5)
    text = azobenzene_table.document([row])
    errors = row.errors["test"]
    assert f"| {errors['energy_mae_meV']:.0f} / {errors['forces_mae_meV_per_A']:.0f} |" in text
    assert "30 min, 7 epochs, one GPU" in text


def test_a_model_of_unknown_training_is_refused(potential, tmp_path):
    checkpoint = save_potential(potential, tmp_path / "model")
    with pytest.raises(ValueError, match="does not say that it was trained on one of time, trajectory"):
        azobenzene_table.measure("azobenzene-painn", checkpoint, azobenzene())


def test_the_table_replaces_what_stands_between_its_marks():
    begin, end = azobenzene_table.MARKS
    text = f"before\n{begin}\nold\n{end}\nafter"
    assert azobenzene_table.insert(text, "new") == f"before\n{begin}\nnew\n{end}\nafter"
    with pytest.raises(ValueError, match="lacks the lines"):
        azobenzene_table.insert("no marks", "new")


def trial(longest, changed):
    structures = {
        "isomers": {
            isomer: {
                "energy_eV": energy, "rmsd_A": 0.01, "frequencies_per_cm": [100.0], "frequency_mae_per_cm": 6.1,
                "frequency_largest_per_cm": -17.0, "num_imaginary": 0,
            }
            for isomer, energy in (("trans", -10.0), ("cis", -10.1))
        },
        "torsion": {"angles_degrees": [0, 90, 180], "energies_eV": [-10.1, -9.3, -10.0]},
    }  # fmt: skip
    simulation = {
        "isomer": "cis", "temperature_K": 1400, "mean_temperature_K": 1391.0, "exploded": [1], "looks": [400, 9],
        "looks_with_other_bonds": changed, "bonds_at_end_are_those_of_the_start": [True, not changed[1]],
        "longest_bond_over_radii": longest, "drift_meV_per_atom_ps": [0.01, -0.5], "rms_meV_per_atom": [0.1, 0.3],
        "torsion_at_end_degrees": [11.0, 171.0], "processor_ms_per_step_and_replica": 0.7,
    }  # fmt: skip
    asked = {"model": "azobenzene-painn", "picoseconds": 2.0, "equilibrate_ps": 0.5, "replicas": 2}
    data = {"frames": 2194, "with_other_bonds": 21, "longest_bond_over_radii": 1.396}
    relaxations = [{"isomer": "trans", "above_minimum_meV": above} for above in (0.4, 2385.7, -1.2e25, float("nan"), -2.9)]
    return {"asked": asked, "structures": structures, "data": data, "relaxations": relaxations, "simulations": [simulation]}


def test_the_section_of_a_trial_says_what_was_found_and_takes_the_place_of_an_older_one(tmp_path):
    found = trial([1.21, 1.44], [0, 3])
    reference = {"isomers": {"trans": {"energy_eV": -10.0}, "cis": {"energy_eV": -10.12}},
                 "torsion": {"energies_eV": [-10.12, -9.2, -10.0]}}  # fmt: skip
    lines = azobenzene_trial_card.section(found, reference)
    text = "\n".join(lines)
    assert "| E(cis) - E(trans), meV | -100 | -120 | +20 |" in text
    assert "| torsion barrier from trans, eV | 0.700 | 0.800 | -0.100 |" in text
    assert "| cis | 1,400 | 1391 | -0.245, -0.500 | 0.200 | 0.73 % | 1 | 1.44 | 1 | 1 |" in text
    assert "--equilibrate 0.5 --temperature 1400 --card models/azobenzene-painn" in text
    assert "Not tried at 300 K, 600 K." in text
    assert "2 of 5 find the minimum again (to 3 meV); the others end elsewhere: trans +2,386 meV from it, trans" in text
    card = tmp_path / "README.md"
    card.write_text("# model\n\nbefore\n\nTo train it again: so\n")
    azobenzene_trial_card.write_section(card, ["## Tried on azobenzene", "", "old", ""])
    azobenzene_trial_card.write_section(card, lines)
    written = card.read_text()
    assert written.startswith("# model\n\nbefore\n\n## Tried on azobenzene\n") and "old" not in written
    assert written.endswith("\n\nTo train it again: so\n") and written.count("## Tried") == 1


@pytest.mark.parametrize("scans", [1, 2])
def test_an_angle_at_which_a_scan_fails_is_left_to_the_other_one(monkeypatch, scans):
    visited = []

    class FailsAt120:
        def __init__(self, atoms, logfile):
            self.angle = 10 * round((360 - atoms.get_dihedral(*azobenzene_reference.CNNC)) / 10)

        def run(self, fmax, steps):
            visited.append(self.angle)
            if self.angle == 120 and visited.count(120) <= scans:
                raise ValueError("FixInternals.adjust_positions did not converge.")

    class Counts(Calculator):
        implemented_properties = ["energy"]

        def calculate(self, atoms=None, properties=(), system_changes=()):
            self.results = {"energy": float(len(visited))}

    monkeypatch.setattr(azobenzene_reference, "BFGS", FailsAt120)
    minima = {isomer: azobenzene_reference.isomer_structure(isomer) for isomer in azobenzene_reference.ISOMERS}
    if scans == 2:
        with pytest.raises(ValueError, match=r"at \[120\] degrees"):
            azobenzene_reference.torsion_scan(minima, Counts())
        return
    energies = azobenzene_reference.torsion_scan(minima, Counts())
    angles = azobenzene_reference.ANGLES
    from_trans = [len(angles) - k for k in range(len(angles))]
    assert energies == [32.0 if angle == 120 else energy for angle, energy in zip(angles, from_trans)]


def test_one_energy_for_all_conformers_orders_none_of_them():
    """Molecules a, b and c have two conformers, d has one; the energies of the atoms around them are right on average."""
    molecules = ["a", "b", "a", "b", "c", "c", "d"]
    reference = np.array([1.0, 2.0, 1.1, 1.8, 5.0, 5.3, 7.0])
    flat = conformers.conformer_errors(np.array([1.05, 1.9, 1.05, 1.9, 5.15, 5.15, 7.0]), reference, molecules)
    assert (flat.ordered, flat.tied, flat.pairs, flat.correlation) == (0, 3, 3, None)
    assert flat.difference_mae == pytest.approx(0.2) and flat.energy_mae == pytest.approx(0.6 / 7)
    assert conformers.least_error(reference, molecules) == pytest.approx(flat.energy_mae)
    exact = conformers.conformer_errors(reference + 3.0, reference, molecules)
    assert (exact.ordered, exact.tied) == (3, 0) and exact.correlation == pytest.approx(1.0)
    assert exact.energy_mae == pytest.approx(3.0) and exact.difference_mae == pytest.approx(0.0)
