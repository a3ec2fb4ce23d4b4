"""``import mlff`` is quick, silent, and its public names are there."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import mlff


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("module", ["mlff", "mlff.cli.main"])
def test_importing_loads_no_heavy_package_and_prints_nothing(module):
    heavy = ["torch", "ase", "h5py", "scipy", "matplotlib", "lightning_fabric", "pydantic", "numpy", "rich"]
    result = run_python(f"import sys, {module}; print(*sorted(set(sys.modules) & set({heavy})))")
    assert (result.stdout.strip(), result.stderr, result.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", sorted(set(mlff.__all__) - {"__version__"}))
def test_public_name_is_a_documented_object(name):
    assert getattr(mlff, name).__doc__
    assert name in dir(mlff)


def test_unknown_name_is_refused_with_the_public_ones():
    with pytest.raises(AttributeError, match="no attribute 'Calculator'.*MLFFCalculator"):
        mlff.Calculator  # noqa: B018


def test_version_is_the_installed_one():
    assert mlff.__version__ == version("mlff")


def test_importing_everything_leaves_torch_settings_alone():
    result = run_python(
        "import torch, mlff\n"
        "def settings(): return (torch.get_default_dtype(), torch.initial_seed(), torch.get_num_threads(),"
        " torch.is_grad_enabled(), torch.backends.cuda.matmul.allow_tf32)\n"
        "before = settings()\n"
        "torch.manual_seed(1); state = torch.get_rng_state(); before = settings()\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        "for name in mlff.__all__: getattr(mlff, name)\n"
        "assert settings() == before and torch.equal(torch.get_rng_state(), state)\n"
    )
    assert result.returncode == 0, result.stderr
