"""The state that a run resumes from: tensors (safetensors) and a JSON document, replaced together in one rename.

The tensors of each epoch are a file of their own; ``state.json`` names the one that counts and is renamed into place
after that file is safely on disk. So a kill at any moment leaves the state before or the state after, and nothing is
ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

DOCUMENT = "state.json"
FORMAT_VERSION = 1


def save_state(folder: Path, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Replace the state in `folder`; `document` holds JSON values, its floats are kept to the last bit."""
    folder.mkdir(parents=True, exist_ok=True)
    data = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    name = f"tensors-{digest[:16]}.safetensors"
    replace_file(folder / name, data)
    whole = {"format_version": FORMAT_VERSION, "tensors": name, "tensors_sha256": digest, **document}
    replace_file(folder / DOCUMENT, json.dumps(whole, indent=1, allow_nan=False).encode())
    for old in folder.iterdir():
        if old.name not in (name, DOCUMENT):
            old.unlink(missing_ok=True)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and the document in `folder`; None where no epoch was completed.

    Raises:
        ValueError: a state that is damaged or of a newer version.
    """
    file = folder / DOCUMENT
    if not file.is_file():
        return None
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        version, name, digest = document["format_version"], document["tensors"], document["tensors_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"`{file}` is damaged ({error!r}); train again in another folder") from error
    if version > FORMAT_VERSION:
        raise ValueError(f"`{file}` was written by a newer mlff (state version {version}; this one reads up to "
                         f"{FORMAT_VERSION}): upgrade mlff to resume")
    path = folder / Path(name).name
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"`{path}` is {'damaged' if data else 'missing'}, so the run cannot be resumed; its best model "
                         f"is in `{folder.parent / 'model'}`")
    try:
        return load(data), document
    except SafetensorError as error:
        raise ValueError(f"`{path}` is no safetensors file: {error}") from error


def replace_file(path: Path, data: bytes) -> None:
    """Write `path` aside, bring it to disk and rename it into place."""
    aside = path.with_name(f".{path.name}.partial")
    with aside.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(aside, path)
