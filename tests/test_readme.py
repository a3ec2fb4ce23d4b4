"""README.md holds what it promises: its example runs as written, its commands exist."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mlff.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLE = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)


def command_lines() -> list[str]:
    """Every ``mlff ...`` line of the shell blocks, continuation lines joined, without its comment."""
    blocks = "\n".join(re.findall(r"```(?:bash|sh)\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
    lines = [line.split("#")[0].strip() for line in blocks.splitlines()]
    return [line for line in lines if line.startswith("mlff ")]


def test_the_example_runs_as_written(tmp_path):
    if not (ROOT / "models" / "azobenzene-painn").is_dir():
        pytest.skip("the trained model of the example, models/azobenzene-painn, is not in this tree")
    shutil.copy(ROOT / "examples" / "structures" / "trans.xyz", tmp_path / "molecule.xyz")
    result = subprocess.run([sys.executable, "-c", EXAMPLE], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert "BFGS:" in result.stdout


@pytest.mark.parametrize("line", command_lines())
def test_the_commands_parse(line):
    """Command and options exist. (What the commands do is tested in tests/cli.)"""
    words = shlex.split(line)[1:]
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"`{line}`: no such command"
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.split("=")[0] for word in words if word.startswith("-")} <= known | {"--help"}


def test_the_readme_opens_with_a_sentence_an_install_line_and_the_example():
    title, sentence, install = (part.strip() for part in README.split("\n\n")[:3])
    assert title == "# mlff"
    assert sentence.count(".") == 1 and sentence.endswith(".")
    assert "pip install ." in install
    assert README.index("pip install .") < README.index(EXAMPLE)


def test_every_command_is_shown():
    assert not [name for name in COMMANDS if f"mlff {name}" not in README]
