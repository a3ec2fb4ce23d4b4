"""Two CPU processes (gloo) train what one trains."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.train.test_resume import TRAIN, read_rows


@pytest.mark.parametrize("batch_size", [7])  # 15 frames: batches of 7, 7 and 1, which leaves one process without a frame
def test_two_processes_end_with_the_weights_of_one(quick, tmp_path, batch_size):
    for out, devices in (("one", 1), ("two", 2)):
        config = quick("data.num_train=15", f"batch_size={batch_size}", "epochs=2", f"devices={devices}", out=out)
        (tmp_path / f"{out}.yaml").write_text(config.to_yaml())
        script = tmp_path / "train.py"
        script.write_text(TRAIN)
        done = subprocess.run(
            [sys.executable, str(script), "train", str(tmp_path / f"{out}.yaml")],
            capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / out / "model" / "weights.safetensors") for out in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)
    for first, second in zip(read_rows(tmp_path / "one"), read_rows(tmp_path / "two"), strict=True):
        for column in ("train_loss", "train_forces_mae_meV_per_A", "val_loss", "val_forces_rmse_meV_per_A"):
            assert float(first[column]) == pytest.approx(float(second[column]), rel=1e-4)
