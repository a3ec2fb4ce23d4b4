"""The command group: help without heavy imports, errors as one sentence and exit code 2."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from mlff.cli import main as module
from mlff.cli.main import COMMANDS, main


class DivergedError(RuntimeError):
    """Stands for an error of the package's own."""

    __module__ = "mlff.train.trainer"


ERRORS = [
    (ValueError("`cutoff` is -1 Å;\n give a positive one"), "Error: `cutoff` is -1 Å; give a positive one\n"),
    (FileNotFoundError(2, "No such file or directory", "a.xyz"), "Error: a.xyz: No such file or directory\n"),
    (OSError("the disk is full"), "Error: the disk is full\n"),
    (DivergedError("the loss is not finite"), "Error: the loss is not finite\n"),
    (ImportError("torch-cluster is missing: pip install torch-cluster"),
     "Error: torch-cluster is missing: pip install torch-cluster\n"),
    (MemoryError("1 TB"), "Error: out of memory (1 TB); use smaller batches, fewer atoms or a smaller model\n"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate "
                  "99 bytes. Error code 12 (Cannot allocate memory)\n frame #0: ..."),
     "Error: out of memory (can't allocate memory: you tried to allocate 99 bytes); use smaller batches, fewer atoms or a "
     "smaller model\n"),
    (click.ClickException("said by a command"), "Error: said by a command\n"),
]  # fmt: skip


@pytest.fixture
def raising(monkeypatch):
    """Puts a command ``fail`` into the group that raises what it is given."""

    def install(error: BaseException) -> None:
        @click.command()
        def command() -> None:
            raise error

        fake = type(sys)("fake_command")
        fake.command = command
        monkeypatch.setitem(sys.modules, "fake_command", fake)
        monkeypatch.setitem(COMMANDS, "fail", ("fake_command", "Fails."))

    return install


def test_torch_says_that_memory_is_full_as_the_command_line_expects_it(raising, monkeypatch):
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    raising(caught.value)
    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == 2 and result.stderr.startswith("Error: out of memory (") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(("error", "message"), ERRORS, ids=lambda value: type(value).__name__)
def test_a_users_error_is_one_sentence_and_exit_code_2(raising, error, message):
    raising(error)
    result = CliRunner().invoke(main, ["fail"])
    assert (result.exit_code, result.stderr, result.stdout) == (2, message, "")


def test_a_pydantic_error_names_the_key(raising):
    from pydantic import BaseModel, ValidationError

    class Config(BaseModel, extra="forbid"):
        epochs: int

    with pytest.raises(ValidationError) as caught:
        Config(epochs="many", epoch=3)
    raising(caught.value)
    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: epochs: Input should be a valid integer")
    assert "; epoch: Extra inputs are not permitted\n" in result.stderr


def test_mlff_debug_shows_the_traceback(raising, monkeypatch):
    monkeypatch.setenv("MLFF_DEBUG", "1")
    raising(ValueError("wrong"))
    assert isinstance(CliRunner().invoke(main, ["fail"]).exception, ValueError)


def test_an_error_of_the_program_is_not_disguised(raising):
    raising(TypeError("a bug"))
    assert isinstance(CliRunner().invoke(main, ["fail"]).exception, TypeError)


def test_ctrl_c_ends_with_one_line(raising):
    raising(KeyboardInterrupt())
    result = CliRunner().invoke(main, ["fail"])
    assert (result.exit_code, result.stderr) == (130, "\nInterrupted.\n")


def test_warnings_are_one_line_without_the_source(raising, monkeypatch):
    with module.plain_warnings():
        import warnings

        assert warnings.formatwarning("one\n two", UserWarning, "file.py", 3) == "Warning: one two\n"


def test_help_names_every_command_in_order():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    commands = result.stdout.split("Commands:\n")[1]
    assert [line.split()[0] for line in commands.splitlines()] == list(COMMANDS)


def test_an_unknown_command_lists_the_known_ones():
    result = CliRunner().invoke(main, ["trian"])
    assert result.exit_code == 2
    assert f"there is no command 'trian'; the commands are {', '.join(COMMANDS)}" in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_without_importing_torch(name):
    code = (
        "import sys\nfrom mlff.cli.main import main\n"
        f"try: main(['{name}', '--help'])\nfinally: print(*({{'torch', 'matplotlib', 'ase'}} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == ""
    assert result.stdout.startswith("Usage: ")


def test_python_dash_m_is_the_command():
    result = subprocess.run([sys.executable, "-m", "mlff", "--version"], capture_output=True, text=True, timeout=60)
    assert result.stdout.startswith("mlff ")


def test_waiting_threads_sleep_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    module.let_idle_threads_sleep()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    module.let_idle_threads_sleep()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    module.let_idle_threads_sleep()
    assert "GOMP_SPINCOUNT" not in os.environ
