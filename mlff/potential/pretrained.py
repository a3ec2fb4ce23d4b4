"""Where a model's name or path leads: the trained weights shipped with the package, and one's own checkpoints."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

WEIGHTS_FILE = "weights.safetensors"


def models_folder() -> Path | None:
    """The folder of shipped weights: ``mlff/_models`` in a wheel, ``models`` beside the package in the source tree."""
    package = Path(__file__).resolve().parents[1]
    if (package / "_models").is_dir():
        return package / "_models"
    source = package.parent
    # A foreign `models` folder beside an installed package (in site-packages) is not ours.
    if (source / "pyproject.toml").is_file() and (source / "models").is_dir():
        return source / "models"
    return None


def list_models() -> dict[str, Path]:
    """Names of the shipped models, sorted, with their checkpoint folders."""
    root = models_folder()
    if root is None:
        return {}
    return {path.name: path for path in sorted(root.iterdir()) if (path / WEIGHTS_FILE).is_file()}


def resolve(model: str | os.PathLike[str]) -> Path:
    """Path of the checkpoint (folder or file) that a name in models/, a checkpoint's path or a run folder stands for.

    A text without a path separator is first a name in models/; write ``./NAME`` for a folder of the same name.
    """
    text = os.fspath(model)
    if not text:
        raise ValueError("the model is an empty text; give a name that `mlff models` lists or the path of a checkpoint")
    if text.startswith(("mace:", "nequip:")) and not Path(text).exists():
        raise ValueError(f"models of other packages are converted once, and used as any other then: "
                         f"`mlff convert {text} -o FOLDER` (docs/adapters.md)")
    path = Path(text)
    looks_like_path = isinstance(model, Path) or os.sep in text or "/" in text or text.endswith(".safetensors")
    if not looks_like_path:
        shipped = list_models()
        if text in shipped:
            if _holds_checkpoint(path) and path.resolve() != shipped[text].resolve():
                raise ValueError(
                    f"`{text}` is both a shipped model and a folder here; write `./{text}` for the folder, "
                    f"or `{shipped[text]}` for the shipped model"
                )
            return shipped[text]
        if not path.exists():
            raise ValueError(_unknown_name(text, tuple(shipped)))
    if not path.exists():
        raise ValueError(f"no checkpoint at `{text}`: there is no such file or folder (a relative path starts at "
                         f"{Path.cwd()})")
    return _checkpoint_of(path)


def _holds_checkpoint(path: Path) -> bool:
    return path.is_file() or (path / WEIGHTS_FILE).is_file() or (path / "model" / WEIGHTS_FILE).is_file()


def _checkpoint_of(path: Path) -> Path:
    if path.is_file() or (path / WEIGHTS_FILE).is_file():
        return path
    if (path / "model" / WEIGHTS_FILE).is_file():
        return path / "model"
    if (path / "member-0").is_dir():
        raise ValueError(f"`{path}` is a committee of several models; name one of them, such as `{path / 'member-0'}`, or use "
                         f"CommitteeCalculator, `mlff md`, `optimize`, `vibrations` or `evaluate`, which take all of them")
    if (path / "config.yaml").is_file():
        raise ValueError(f"`{path}` is a training run that has not saved a model yet (no model/{WEIGHTS_FILE} in it)")
    raise ValueError(f"`{path}` is no checkpoint: that is a folder with {WEIGHTS_FILE}, such a file alone, or the "
                     f"folder of a training run")


def _unknown_name(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f"did you mean `{close[0]}`? " if close else ""
    known = ", ".join(names) if names else "none"
    return (f"no shipped model and no file or folder here is called `{name}`; {meant}Shipped models: {known}. "
            f"For your own model give the path of its folder")
