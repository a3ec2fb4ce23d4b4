"""The wheel is complete: installed into a new environment it runs the README's example without a network.

The new environment gets the wheel alone; its dependencies come from the running environment through a ``.pth`` line
(which, unlike that environment's own site directory, does not bring its editable mlff along), so that the test takes
seconds and downloads nothing.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling builds the wheel: pip install hatchling")

ROOT = Path(__file__).parents[1]
OFFLINE = """
import socket
def refuse(*args): raise OSError("the README example used the network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def new_python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a new environment that has the wheel installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    Path(paths["purelib"], "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120)
    return python


def run(python: Path, folder: Path, code: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MLFF", "COV"))}
    result = subprocess.run(
        [str(python), "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_wheel_holds_the_package_the_weights_and_the_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "mlff").rglob("*.py")}
    weights = {
        f"mlff/_models/{path.relative_to(ROOT / 'models')}" for path in (ROOT / "models").rglob("*") if path.is_file()
    }
    assert not (package | weights | {"mlff/py.typed", "mlff/datasets/azobenzene.h5", "mlff/datasets/ch2nh2.h5"}) - names
    metadata = wheel.name.split("-py3")[0] + ".dist-info"
    assert {name.split("/")[0] for name in names} == {"mlff", metadata}


def test_wheel_is_small(wheel):
    assert wheel.stat().st_size < 25e6  # bytes


def test_installed_package_finds_its_models_and_data(new_python, tmp_path):
    code = (
        "import mlff; from mlff.datasets import azobenzene\n"
        "print(mlff.__file__, azobenzene().path, len(azobenzene()), *mlff.list_models())"
    )
    home, data, num_frames, *models = run(new_python, tmp_path, OFFLINE + code).split()
    environment = str(new_python.parents[1])
    assert home.startswith(environment) and data.startswith(environment)
    assert num_frames == "2194"
    assert sorted(models) == sorted(path.name for path in (ROOT / "models").iterdir() if path.is_dir())


def test_installed_command_answers(new_python, tmp_path):
    mlff = new_python.parent / "mlff"
    result = subprocess.run([str(mlff), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and "train" in result.stdout


def test_readme_example_runs_offline(new_python, tmp_path):
    if not (ROOT / "models" / "azobenzene-painn").is_dir():
        pytest.skip("the trained model of the example, models/azobenzene-painn, is not in this tree")
    shutil.copy(ROOT / "examples" / "structures" / "trans.xyz", tmp_path / "molecule.xyz")
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    assert "BFGS:" in run(new_python, tmp_path, OFFLINE + example)
