"""Every script in examples/ runs, in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlff.benchmarks.accuracy.spec import Spec
from mlff.train.config import TrainConfig, read_yaml

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_runs(script, tmp_path):
    if "azobenzene-painn" in script.read_text() and not (ROOT / "models" / "azobenzene-painn").is_dir():
        pytest.skip("the trained model of the example, models/azobenzene-painn, is not in this tree")
    if "rdkit" in script.read_text():
        pytest.importorskip("rdkit", reason='the script needs RDKit and tblite: pip install "mlff[corpus]"')
        pytest.importorskip("tblite")
    if "casscf" in script.read_text():
        pytest.importorskip("pyscf", reason='the script needs PySCF: pip install "mlff[pyscf]"')
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    result = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


@pytest.mark.parametrize("config", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_config_is_valid(config):
    read = Spec if "models" in read_yaml(config) else TrainConfig
    assert read.from_yaml(config).out
