"""A device that is not there is a sentence, whichever command it was given to."""

from __future__ import annotations

import click
import pytest
import torch

from mlff.cli.main import main

ARGUMENTS = {
    "evaluate": ("model", "azobenzene"),
    "md": ("model", "ethanol.xyz", "-o", "out.traj"),
    "namd": ("model", "--structure", "ethanol.xyz", "--start-state", "1", "-o", "out"),
    "optimize": ("model", "ethanol.xyz", "-o", "out.traj"),
    "select": ("model", "ethanol.xyz", "-o", "out.xyz", "--count", "1", "--by", "gap"),
    "vibrations": ("model", "ethanol.xyz", "-o", "out.molden"),
}


def test_all_commands_that_take_a_device_are_tried():
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    takers = {name for name, command in commands.items() if any(each.name == "device" for each in command.params)}
    assert takers == set(ARGUMENTS)


@pytest.mark.parametrize("command", ARGUMENTS)
@pytest.mark.parametrize("device", ["nonsense", "mps", "cuda:99"])
def test_a_device_that_is_not_there_is_named(command, device, working_folder, mlff):
    result = mlff(command, *ARGUMENTS[command], "--device", device)
    assert result.exit_code == 2, result.output
    missing = "the GPUs end at" if device == "cuda:99" and torch.cuda.is_available() else f"`device` is '{device}'"
    assert missing in " ".join(result.output.split())
    assert not [path for path in working_folder.iterdir() if path.stem == "out"]
