"""Several states, from real files to a trained potential: masked, whatever the signs that programs chose, fully recorded."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.testing import assert_close

from mlff.cli.main import main
from mlff.data import HDF5Dataset, HDF5Writer, splits
from mlff.data.importers import import_sources
from mlff.potential.checkpoint import load_potential
from mlff.potential.phases import pair_signs
from mlff.train.config import TrainConfig
from mlff.train.electronic import learned_lines, trained_pairs
from mlff.train.metrics import evaluate
from mlff.train.prepare import build_potential, centre_energies, make_loader, prepare_data
from tests.train.runs import read_rows

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*cannot determine the reference energies"), pytest.mark.usefixtures("plain_report")
]  # fmt: skip
SMALL = (
    "model.num_features=8", "model.num_layers=1", "data.num_train=16", "data.num_val=6", "data.num_test=6", "batch_size=8",
    "epochs=2", "num_threads=1", "accelerator=cpu",
)  # fmt: skip
SOURCES = {
    "sharc": "sharc_v2_ch2nh2", "butene": "spainn_schnarc_db/3Sing_cis-butene.db", "c9h8o": "pyrai2md_json",
}  # fmt: skip


def add_split(path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        split = splits.random(HDF5Dataset(path))
    with HDF5Writer(path, "a") as writer:
        writer.add_split("random", split, kind="random", seed=0)


@pytest.fixture(scope="session")
def real(shared_data, tmp_path_factory) -> dict[str, Path]:
    """The three sets, imported and split."""
    folder = tmp_path_factory.mktemp("real")
    paths = {name: folder / f"{name}.h5" for name in SOURCES}
    for name, source in SOURCES.items():
        import_sources([shared_data / "surface_hopping" / source], paths[name])
        add_split(paths[name])
    return paths


def mlff(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def trained(*arguments: object) -> str:
    result = mlff("train", *arguments, *SMALL)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("options", [("--nac",), ("--nac", "direct"), ("--nac", "--diabatic", "loss.gap_weight=2")])
def test_a_surface_hopping_run_with_one_states_forces_a_frame_is_learned(real, tmp_path, options):
    run = tmp_path / "run"
    told = trained("--data", real["sharc"], "--states", 3, *options, "--dipoles", "--out", run)
    assert "Learns the energies of 3 states of the data" in told and "0 (S0), 1 (S1), 2 (S2)" in told
    assert "of 16 training frames" in told and "known in all 16 training frames (S0-S1, S0-S2, S1-S2)" in told
    potential = load_potential(run)
    assert potential.config.surfaces == ("diabatic" if "--diabatic" in options else "separate")
    assert potential.config.nac_pairs == ((0, 1), (0, 2), (1, 2)) and len(potential.config.dipole_pairs) == 6
    assert potential.config.state_labels == ("S0", "S1", "S2") and potential.config.multiplicities == (1, 1, 1)
    column = "val_nac_mae_per_A" if "direct" in options else "val_coupling_mae_meV_per_A"
    assert all(float(row[column]) > 0 and float(row["val_dipole_mae_mD"]) > 0 for row in read_rows(run))
    with np.load(run / "predictions_test.npz") as arrays:
        assert arrays["interstate_coupling"].shape == arrays["nac_ref"].shape == (36, 3, 3)
        assert arrays["nac_pairs"].tolist() == [[0, 1], [0, 2], [1, 2]]
        missing = np.isnan(arrays["forces_ref"]).all((1, 2, 0))
    assert not missing


def test_atoms_are_told_apart_by_their_place(real, tmp_path):
    trained("--data", real["sharc"], "--states", 2, "--diabatic", "potential.labelled_atoms=true", "--out", tmp_path / "run")
    (system,) = HDF5Dataset(real["sharc"]).systems
    assert load_potential(tmp_path / "run").config.labelled_atoms == tuple(system.atomic_numbers)


def test_spin_orbit_couplings_are_learned_once_the_spins_are_said(real, tmp_path):
    refused = mlff("train", "--data", real["c9h8o"], "--soc", "--out", tmp_path / "no", *SMALL)
    assert refused.exit_code == 2 and "give one for each, such as `potential.multiplicities=[1,1,3,3]`" in refused.output
    assert not (tmp_path / "no").exists()
    spins = "potential.multiplicities=1,1,3,3"
    told = trained("--data", real["c9h8o"], "--soc", "--diabatic", spins, "--out", tmp_path / "run")
    assert "state 0-state 2" in told and "cm⁻¹" in told
    assert load_potential(tmp_path / "run").config.soc_pairs == ((0, 2), (0, 3), (1, 2), (1, 3))
    evaluated = mlff("evaluate", tmp_path / "run", real["c9h8o"], "--json", tmp_path / "errors.json")
    assert evaluated.exit_code == 0 and "soc magnitude, all" in evaluated.output, evaluated.output


def with_turned_signs(path: Path, target: Path) -> Path:
    """The same file with random signs of the states in every frame, the same for all quantities."""
    dataset = HDF5Dataset(path)
    (system,) = dataset.systems
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(system.num_frames, system.num_states))
    values = {name: system.read(name) for name in ("positions", "energy", "forces", "nac", "interstate_coupling", "dipole")}
    by_pair = {name: pair_signs(torch.from_numpy(signs), pairs).numpy() for name, pairs in
               (("nac", system.nac_pairs), ("dipole", system.dipole_pairs))}  # fmt: skip
    for name in ("nac", "interstate_coupling"):
        values[name] = (values[name] * by_pair["nac"][:, None, :, None]).astype(np.float32)
    values["dipole"] = (values["dipole"] * by_pair["dipole"][:, :, None]).astype(np.float32)
    with HDF5Writer(target) as writer:
        writer.add_system(
            "turned", system.atomic_numbers, num_states=3, multiplicity=system.multiplicities, label=system.state_labels,
            nac_pairs=system.nac_pairs, dipole_pairs=system.dipole_pairs,
        )  # fmt: skip
        writer.add_trajectory("turned", values)
        writer.add_split("random", dataset.split("random"), kind="random", seed=0)
    return target


@pytest.mark.parametrize("surfaces", ["separate", "diabatic"])
def test_signs_that_the_program_chose_change_nothing(real, tmp_path, surfaces):
    turned = with_turned_signs(real["butene"], tmp_path / "turned.h5")
    for name, path in (("straight", real["butene"]), ("turned", turned)):
        trained("--data", path, "--nac", "--dipoles", f"potential.surfaces={surfaces}", "--out", tmp_path / name)
    losses = [
        [(row["train_loss"], row["val_loss"], row["val_coupling_mae_meV_per_A"]) for row in read_rows(tmp_path / run)]
        for run in ("straight", "turned")
    ]
    assert losses[0] == losses[1]
    states = [load_potential(tmp_path / run).state_dict() for run in ("straight", "turned")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_few_steps_teach_the_couplings_and_another_run_goes_on_from_them(real, tmp_path):
    learning = ("optimizer.learning_rate=0.01", "schedule.warmup_steps=0", "loss.energy=0", "loss.kind=mse", "ema.decay=0")
    run = tmp_path / "run"
    small = [option for option in SMALL if not option.startswith("epochs")]
    result = mlff("train", "--data", real["butene"], "--nac", "--out", run, "epochs=15", "loss.forces=1e-4", *learning, *small)
    assert result.exit_code == 0, result.output
    rows = read_rows(run)
    assert float(rows[-1]["train_loss"]) < 0.8 * float(rows[0]["train_loss"])
    tuned = tmp_path / "tuned"
    told = trained("--data", real["butene"], "--init-from", run, "--dipoles", "--out", tuned)
    assert "New is dipole_head, with random weights" in told and "Left out is coupling_head" in told
    trained("--data", real["butene"], "--init-from", run, "--nac", "--out", tmp_path / "again", "loss.forces=1e-4", *learning)
    assert float(read_rows(tmp_path / "again")[0]["train_loss"]) < 0.9 * float(rows[0]["train_loss"])


def test_a_committee_is_measured_with_its_couplings(real, tmp_path):
    told = trained("--data", real["butene"], "--nac", "--states", 2, "--out", tmp_path / "both", "--committee", 2)
    assert "Member 1 of 2" in told
    result = mlff("evaluate", tmp_path / "both", real["butene"], "--predictions", tmp_path / "p.npz")
    assert result.exit_code == 0 and "cosine" in result.output, result.output
    with np.load(tmp_path / "p.npz") as arrays:
        assert arrays["interstate_coupling"].shape == (120, 1, 3) and np.isfinite(arrays["interstate_coupling"]).all()


def test_a_fresh_diabatic_potential_has_the_energies_of_the_data_on_average(real, tmp_path):
    config = TrainConfig.build({
        "data": {"path": str(real["c9h8o"])}, "model": {"name": "painn", "num_features": 16, "num_layers": 1},
        "potential": {"surfaces": "diabatic", "multiplicities": [1, 1, 3, 3]},
    })  # fmt: skip
    data = prepare_data(config.data, config.loss)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # with some weights the elements beside the diagonal split the states by more
        potential = build_potential(config, data, torch.float64)  # biases of float32 round the states' shifts apart
    loader = make_loader(config, data, potential, torch.device("cpu"))
    centre_energies(potential, loader, data.train)
    metrics = evaluate(potential.eval(), data.dataset, data.train)
    for state in range(4):
        error = metrics.predictions["energy"][:, state] - metrics.predictions["energy_ref"][:, state]
        assert abs(error.mean()) < 0.2 * metrics.predictions["energy_ref"][:, state].std()
    assert trained_pairs(config, potential.config, data).coupling is None
    graph, _ = loader.load(data.train[:4])
    before = potential(graph)
    centre_energies(potential, loader, data.train, trained=True)  # where a run begins with weights of another
    assert_close(potential(graph)["eigenvectors"], before["eigenvectors"])
    moved = potential(graph)["energy"] - before["energy"]
    assert_close(moved, moved[:1, :1].expand(4, 4))
    assert "as eigenvalues of a diabatic matrix" in learned_lines(potential.config, loader.pairs, data)[0]
