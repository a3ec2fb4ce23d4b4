"""``mlff export``; that programs are right is tested in tests/fast/test_portable.py."""

import torch


def test_it_writes_a_program_and_replaces_it_only_when_told(working_folder, mlff):
    result = mlff("export", "model", "-o", "model.pt2")
    assert result.exit_code == 0 and "written" in result.stdout, result.stderr
    assert torch.export.load("model.pt2").graph_signature.user_inputs
    result = mlff("export", "model", "-o", "model.pt2")
    assert result.exit_code == 2 and "model.pt2 is there already" in result.stderr and "--overwrite" in result.stderr


def test_a_file_that_torch_would_not_read_is_refused(working_folder, mlff):
    result = mlff("export", "model", "-o", "model.onnx")
    assert result.exit_code == 2 and "end in .pt2" in result.stderr
