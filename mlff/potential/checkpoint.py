"""Checkpoints: weights (safetensors) with the configuration and versions beside them; loading never unpickles.

The weights file is whole by itself: its header carries the configuration document, so it can be copied alone and one
rename replaces it. A checkpoint FOLDER holds that file and ``config.json``, the same document for people to read;
the copy is compared on loading, so an edited or damaged one is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mlff import __version__
from mlff.potential.pretrained import WEIGHTS_FILE, resolve

if TYPE_CHECKING:
    from mlff.potential.potential import Potential

FORMAT = "mlff-potential"
FORMAT_VERSION = 3
CONFIG_FILE = "config.json"

Document = dict[str, Any]
Tensors = dict[str, Tensor]


def _with_electronic_states(document: Document, tensors: Tensors) -> tuple[Document, Tensors]:
    """Version 1 knew energies alone: what later ones say of the states has that meaning where it is left out."""
    return document | {"format_version": 2}, tensors


def _with_graph(document: Document, tensors: Tensors) -> tuple[Document, Tensors]:
    """Version 2 connected all pairs within the cutoff."""
    potential = document["potential"] | {"graph": {"kind": "radius"}}
    return document | {"format_version": 3, "potential": potential}, tensors


UPGRADES: dict[int, Callable[[Document, Tensors], tuple[Document, Tensors]]] = {1: _with_electronic_states, 2: _with_graph}
"""From a format version to the function that turns its document and tensors into those of the next version."""


def save_potential(
    potential: Potential, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None
) -> Path:
    """Write a potential to a folder, or to one file where `path` ends in ``.safetensors``; return the path.

    `extra` is kept in the document for people and tables: JSON values such as the data, the split and the errors.
    Files are written aside and renamed, so that a kill leaves the old checkpoint or the new one.
    """
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in potential.state_dict().items()}
    document: Document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "mlff_version": __version__,
        "torch_version": str(torch.__version__),
        "potential": potential.config.model_dump(mode="json"),
        "tensors_sha256": _tensors_sha256(tensors),
        "extra": dict(extra or {}),
    }
    try:
        text = json.dumps(document, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the configuration or `extra` cannot be written as JSON: {error}") from error
    data = save(tensors, metadata={"mlff": text, "mlff_sha256": hashlib.sha256(text.encode()).hexdigest()})
    if path.suffix == ".safetensors":
        if path.is_dir():
            raise ValueError(f"`{path}` is a folder; a path that ends in .safetensors is written as one file")
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
        return path
    if path.is_file():
        raise ValueError(f"`{path}` is a file; give a folder, or a path that ends in .safetensors for one file")
    path.mkdir(parents=True, exist_ok=True)
    _replace(path / WEIGHTS_FILE, data)
    _replace(path / CONFIG_FILE, (text + "\n").encode())
    return path


def load_potential(
    path_or_name: str | os.PathLike[str], device: str | torch.device = "cpu", dtype: torch.dtype | None = None,
    *, denoising: bool = False,
) -> Potential:  # fmt: skip
    """The potential of a checkpoint (name in models/, file, folder, or run folder), in evaluation mode.

    `dtype` casts the model (``torch.float32`` or ``torch.float64``); None keeps it as stored. What `mlff pretrain` wrote is
    refused, as its energies are none, unless `denoising` says that it is known.
    """
    from mlff.potential.potential import Potential, PotentialConfig

    path = resolve(path_or_name)
    document, tensors = read_checkpoint(path)
    if document["extra"].get("denoising") and not denoising:
        raise ValueError(f"`{path}` was pre-trained to find noise and knows no energies; train it on them "
                         f"first: `mlff train --data FILE.h5 --init-from {path_or_name} --out RUN`")
    try:
        potential = Potential(PotentialConfig.model_validate(document["potential"]))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ValueError(f"the configuration in the checkpoint `{path}` does not fit this version of mlff "
                         f"({__version__}; it was written by {document['mlff_version']}): {problems}") from error
    expected = {name: tuple(tensor.shape) for name, tensor in potential.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        raise ValueError(f"the weights in `{path}` do not fit its configuration: {_difference(expected, found)}")
    stored = next((tensors[name].dtype for name, _ in potential.named_parameters()), torch.float32)
    potential = potential.to(dtype=stored)
    potential.load_state_dict(tensors)
    potential.to(device=device, dtype=dtype or stored)
    return potential.eval()


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[Document, Tensors]:
    """The document and tensors of a checkpoint file or folder, checked and brought to the present format version."""
    file = _weights_file(Path(path))
    document = _read_document(file)
    with safe_open(file, framework="pt", device="cpu") as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a mapping)
    if _tensors_sha256(tensors) != document["tensors_sha256"]:
        raise ValueError(f"the weights in `{file}` are damaged: their SHA-256 is not the one stored with them; "
                         f"copy or download the file again")
    for number in range(document["format_version"], FORMAT_VERSION):
        document, tensors = UPGRADES[number](document, tensors)
    return document, tensors


def read_document(path: str | os.PathLike[str]) -> Document:
    """The document of a checkpoint alone (configuration, versions, ``extra``): quick, as no weights are read."""
    return _read_document(_weights_file(Path(path)))


def _read_document(file: Path) -> Document:
    text, digest = _read_header(file)
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise ValueError(f"the configuration inside `{file}` is damaged: its SHA-256 is not the one stored with it; "
                         f"copy or download the file again")
    document = json.loads(text)
    if document.get("format") != FORMAT:
        raise ValueError(f"`{file}` is no mlff potential: its format is {document.get('format')!r}, not {FORMAT!r}")
    number = document.get("format_version")
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"`{file}` has the format version {number!r}; expected a whole number from 1 on")
    if number > FORMAT_VERSION:
        raise ValueError(f"`{file}` has checkpoint format version {number} (written by mlff "
                         f"{document.get('mlff_version', 'unknown')}); this mlff ({__version__}) reads versions up to "
                         f"{FORMAT_VERSION}: upgrade mlff")
    missing = [key for key in ("potential", "tensors_sha256", "mlff_version", "extra") if key not in document]
    if missing:
        raise ValueError(f"the configuration in `{file}` lacks {', '.join(f'`{key}`' for key in missing)}; "
                         f"the checkpoint is incomplete")
    _compare_copy(file, document)
    return document


def _compare_copy(file: Path, document: Document) -> None:
    copy_file = file.with_name(CONFIG_FILE)
    if file.name != WEIGHTS_FILE or not copy_file.is_file():
        return
    try:
        copy = json.loads(copy_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"`{copy_file}` is damaged (no valid JSON: {error}); delete it, as `{file.name}` holds the "
                         f"same configuration") from error
    # A copy of other weights is what a kill between the two renames leaves: the weights file is the newer one.
    same_weights = isinstance(copy, dict) and copy.get("tensors_sha256") == document["tensors_sha256"]
    if same_weights and copy != document:
        raise ValueError(f"`{copy_file}` differs from the configuration stored inside `{file.name}`: it was edited or "
                         f"damaged. Delete it to use the stored one; to change a model, load it and save it again")


def _weights_file(path: Path) -> Path:
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"no checkpoint at `{path}`: `{file}` does not exist")
    return file


def _read_header(file: Path) -> tuple[str, str]:
    """The document's text and its SHA-256 out of the safetensors header, or a ValueError that says what the file is."""
    with open(file, "rb") as handle:
        start = handle.read(9)
    # A length whose first byte is 128 begins like a pickle; the header behind a length that fits the file begins with a brace.
    header = len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] <= file.stat().st_size
    if not header and (start[:4] == b"PK\x03\x04" or start[:1] == b"\x80"):
        raise ValueError(f"`{file}` is a pickle or a zip of pickles (torch.save), which can run code and is never "
                         f"opened; mlff checkpoints are safetensors files, written by `save_potential`. What MACE or NequIP "
                         f"trained is taken over by `mlff convert` (docs/adapters.md)")
    if not header:
        raise ValueError(f"`{file}` is truncated or no safetensors file ({file.stat().st_size} bytes)")
    try:
        with safe_open(file, framework="pt", device="cpu") as opened:
            metadata = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"`{file}` is truncated, damaged or no safetensors file: {error}") from error
    if "mlff" not in metadata or "mlff_sha256" not in metadata:
        raise ValueError(f"`{file}` is a safetensors file but no mlff potential: its header has no mlff configuration")
    return metadata["mlff"], metadata["mlff_sha256"]


def _tensors_sha256(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _replace(file: Path, data: bytes) -> None:
    aside = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with open(aside, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(aside, file)
    finally:
        aside.unlink(missing_ok=True)


def _difference(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> str:
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    wrong = [f"{name} is {list(found[name])} where {list(expected[name])} is expected"
             for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]]
    parts = []
    if missing:
        parts.append(f"missing {', '.join(missing[:4])}")
    if unknown:
        parts.append(f"unknown {', '.join(unknown[:4])}")
    return "; ".join(parts + wrong[:4])
