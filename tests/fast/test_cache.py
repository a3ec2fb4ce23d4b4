"""Where compiled code is kept, and that a file in the cache is whole or not there."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mlff.fast import cache_folder
from mlff.fast.cache import digest, new_file


def test_the_folder_is_the_named_one_or_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFF_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MLFF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "xdg" / "mlff"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder().parts[-3:] == ("Library", "Caches", "mlff")


def test_the_name_of_code_follows_what_it_depends_on(tmp_path, monkeypatch):
    source = tmp_path / "source.py"
    source.write_text("one")
    first = digest([source], dtype="float32")
    assert first == digest([source], dtype="float32") and len(first) == 24
    assert first != digest([source], dtype="float64")
    source.write_text("two")
    second = digest([source], dtype="float32")
    assert second != first
    monkeypatch.setattr("torch.__version__", "0.0")
    assert digest([source], dtype="float32") != second


def test_a_failure_leaves_no_file_and_no_rest(tmp_path):
    with pytest.raises(RuntimeError), new_file(tmp_path / "code.so") as file:
        assert file is not None
        file.write_text("half")
        raise RuntimeError("the compiler failed")
    assert [path.name for path in tmp_path.iterdir()] == ["code.so.lock"]


def test_of_two_at_once_one_writes_and_the_other_waits_for_it(tmp_path):
    target, written = tmp_path / "deep" / "code.so", []

    def make(barrier: threading.Barrier) -> None:
        barrier.wait()
        with new_file(target) as file:
            if file is not None:
                written.append(file)
                Path(file).write_text("whole")
        assert target.read_text() == "whole"

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=make, args=(barrier,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
