"""Files of other packages are opened with consent alone, and what they name is looked up, not called. No package is needed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mlff.models import model_config
from mlff.models.converted_nequip import build_nequip
from mlff.potential.checkpoint import load_potential
from mlff.potential.external import convert, parse_source


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("package", ["mace", "nequip"])
def test_without_consent_a_file_is_not_opened(package: str, tmp_path: Path) -> None:
    file, mark = tmp_path / "trained.model", tmp_path / "exploded"
    file.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ValueError, match="--trust-pickle"):
        convert(f"{package}:{file}", tmp_path / "out")
    with pytest.raises(ValueError, match="mlff convert"):
        load_potential(file)
    with pytest.raises(ValueError, match=f"mlff convert {package}:"):
        load_potential(f"{package}:{file}")
    assert not mark.exists() and not (tmp_path / "out").exists()


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    for text in ("trained.model", "keras:trained.model", "mace:", "C:\\trained.model"):
        assert parse_source(text) is None
        with pytest.raises(ValueError, match="write mace:FILE or nequip:FILE"):
            convert(text, tmp_path / "out", trust_pickle=True)
    with pytest.raises(ValueError, match="there is no file"):
        convert(f"mace:{tmp_path / 'none.model'}", tmp_path / "out", trust_pickle=True)


def test_a_checkpoint_calls_nothing_but_the_models_of_the_packages() -> None:
    for target in ("os.system", "nequip.model.ModelFromPackage", "subprocess.run", None):
        with pytest.raises(ValueError, match="can be taken"):
            build_nequip({"_target_": target, "command": "true"})
    part = {"_target_": "os.system", "command": "true"}
    for nested in (part, [part], {"deep": [{"deeper": part}]}):
        with pytest.raises(ValueError, match="a part `os.system`"):
            build_nequip({"_target_": "nequip.model.NequIPGNNModel", "pair_potential": nested})


def test_settings_are_read_without_the_packages() -> None:
    options = {"_target_": "nequip.model.NequIPGNNModel", "r_max": 4.0}
    config = model_config("converted-nequip", cutoff=4.0, species=(1, 6), types=(6, 1), options=options)
    assert model_config(**config.model_dump()) == config
