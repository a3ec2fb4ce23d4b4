"""No command replaces what it reads, whatever it was told to overwrite."""

from __future__ import annotations

import pytest

COMMANDS = {
    "data import": ("e.xyz", "-o", "e.xyz", "--overwrite"),
    "label": ("e.xyz", "-o", "e.xyz", "--calculator", "lj", "--overwrite"),
    "select": ("model", "e.xyz", "-o", "e.xyz", "--by", "gap", "--overwrite"),
    "md": ("model", "e.xyz", "-o", "e.xyz", "--steps", "1", "--overwrite"),
    "optimize": ("model", "e.xyz", "-o", "./e.xyz", "--overwrite"),
    "vibrations": ("model", "e.xyz", "-o", "e.xyz", "--overwrite"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_is_the_input_is_refused(command, working_folder, mlff):
    path = working_folder / "e.xyz"
    content = "2\nenergy=-30 Properties=species:S:1:pos:R:3 pbc=\"F F F\"\nH 0 0 0\nH 0 0 0.8\n"
    path.write_text(content)
    result = mlff(*command.split(), *COMMANDS[command])
    assert result.exit_code == 2, result.output
    assert path.read_text() == content
