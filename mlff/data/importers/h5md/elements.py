"""Elements of an H5MD particles group: values at the steps of its positions, in our units."""

from __future__ import annotations

from dataclasses import dataclass, field

import h5py
import numpy as np

from mlff.data.h5md_units import h5md_text, into


def text(value: object) -> str:
    """An attribute of text, whichever of HDF5's kinds it is."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else value.ravel()[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@dataclass
class ParticlesGroup:
    """One group under ``particles``; ``problems`` are what was assumed or not read."""

    group: h5py.Group
    label: str  #: how its problems begin
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name under ``particles``."""
        return str(self.group.name).rsplit("/", 1)[1]

    def positions(self) -> np.ndarray:
        """Positions ``[F, N, 3]`` in angstrom; those of a fixed element are one frame."""
        node = self.group["position"]
        values = self.values(node, "angstrom", "position")
        if values is not None and isinstance(node, h5py.Dataset):
            values = values[None]
        if values is None or values.ndim != 3 or values.shape[2] != 3:
            shape = None if values is None else values.shape
            raise ValueError(f"{self.label}: its positions have shape {shape}; frames, atoms and 3 were expected")
        return values.astype(np.float64)

    def values(self, node: h5py.Group | h5py.Dataset, unit: str, name: str) -> np.ndarray | None:
        """Values in ``unit``, a row for each frame of the positions, NaN at those of other steps; None: not read."""
        fixed = isinstance(node, h5py.Dataset)
        if not fixed and "value" not in node:
            self.problems.append(f"{self.label}: `{name}` has no `value`: not read")
            return None
        dataset = node if fixed else node["value"]
        if dataset.nbytes > 1000 * dataset.file.id.get_filesize():
            raise ValueError(f"`{name}` is said to be of shape {dataset.shape}, more than its file can hold")
        values = dataset[()]
        if values.dtype.kind not in "biufc":
            self.problems.append(f"{self.label}: `{name}` holds no numbers: not read")
            return None
        if unit:
            factor = self._factor(node, dataset, unit, name)
            values = values if factor == 1 else values * factor
        return values if fixed or name == "position" else self._aligned(node, values, name)

    def times(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Times in fs and steps of the frames; None where the file does not say them."""
        node = self.group["position"]
        if isinstance(node, h5py.Dataset):
            return None, None
        num = len(node["value"])
        time = None
        if "time" in node:
            time = _spread(node["time"], num).astype(np.float64) * self._factor(
                node["time"], node["time"], "fs", "time"
            )
        step = _spread(node["step"], num) if "step" in node else None
        if step is not None and (node["step"].attrs.get("counted", False) or step.dtype.kind not in "iu"):
            step = None
        return time, None if step is None else step.astype(np.int64)

    def masses(self, num_atoms: int) -> tuple[float, ...] | None:
        """Masses in amu; None where the file has none."""
        values = self._of_atoms("mass", "amu", num_atoms)
        return None if values is None or not (values > 0).all() else tuple(values.tolist())

    def species(self, num_atoms: int) -> np.ndarray | None:
        """Species as integers; None where the file has none."""
        return self._of_atoms("species", "", num_atoms)

    def species_names(self) -> dict[int, str]:
        """What the integers are called, where the species are an enumeration."""
        node = self.group["species"]
        dataset = node if isinstance(node, h5py.Dataset) else node["value"]
        return {number: name for name, number in (h5py.check_enum_dtype(dataset.dtype) or {}).items()}

    def box(self, num_frames: int) -> dict[str, np.ndarray]:
        """Columns ``cell`` and ``pbc``, where the file has a box."""
        box = self.group.get("box")
        if box is None:
            return {}
        boundary = np.atleast_1d(box.attrs.get("boundary", np.array(["none"] * 3)))
        flags = [text(each) == "periodic" for each in boundary]
        pbc = np.tile(np.array(flags * 3 if len(flags) == 1 else flags, dtype=bool), (num_frames, 1))
        if "mlff_pbc" in box:  # ours, where they change
            pbc = box["mlff_pbc/value"][()].astype(bool)
        columns = {"pbc": pbc}
        edges = None if "edges" not in box else self.values(box["edges"], "angstrom", "box")
        if edges is None:
            if pbc.any():
                raise ValueError(f"{self.label}: its boundaries are periodic but its box has no edges")
            return columns
        if isinstance(box["edges"], h5py.Dataset):
            edges = np.broadcast_to(edges, (num_frames, *edges.shape))
        if edges.shape[1:] == (3,):
            edges = edges[:, :, None] * np.eye(3)
        if edges.shape != (num_frames, 3, 3):
            raise ValueError(f"{self.label}: the edges of its box have shape {edges.shape}")
        return columns | {"cell": edges}

    def _of_atoms(self, name: str, unit: str, num_atoms: int) -> np.ndarray | None:
        """A value for each atom; ValueError where it changes from frame to frame."""
        node = self.group.get(name)
        if node is None:
            return None
        values = self.values(node, unit, name)
        if values is None:
            return None
        if isinstance(node, h5py.Group):
            if values.ndim == 2 and len(values) and not (values == values[0]).all():
                raise ValueError(
                    f"{self.label}: `{name}` changes along the trajectory; write a group for each composition"
                )
            values = values[0] if len(values) else values
        if values.ndim == 0:
            values = np.full(num_atoms, values)
        if values.shape != (num_atoms,):
            raise ValueError(f"{self.label}: `{name}` has shape {values.shape}, there are {num_atoms} atoms")
        return values

    def _aligned(self, node: h5py.Group, values: np.ndarray, name: str) -> np.ndarray | None:
        """The values at the steps of the positions."""
        position = self.group["position"]
        if isinstance(position, h5py.Dataset):
            return values
        num = len(position["value"])
        if "step" not in node or "step" not in position:
            if len(values) == num:
                return values
            self.problems.append(f"{self.label}: `{name}` has {len(values)} rows, {num} were expected: not read")
            return None
        if node["step"] == position["step"] and len(values) == num:
            return values
        steps, own = _spread(position["step"], num), _spread(node["step"], len(values))
        if np.array_equal(steps, own):
            return values
        _, at, rows = np.intersect1d(steps, own, return_indices=True)
        if not len(at):
            self.problems.append(f"{self.label}: `{name}` was sampled at no step of the positions: not read")
            return None
        kind = values.dtype if values.dtype.kind in "fc" else np.float64
        result = np.full((num, *values.shape[1:]), np.nan, dtype=kind)
        result[at] = values[rows]
        if len(at) < num:
            self.problems.append(
                f"{self.label}: `{name}` is known for {len(at)} of {num} frames, the others are masked"
            )
        return result

    def _factor(self, node: h5py.Group | h5py.Dataset, dataset: h5py.Dataset, unit: str, name: str) -> float:
        said = dataset.attrs.get("unit", node.attrs.get("unit"))
        if said is None or not text(said).strip():
            problem = f"{self.label}: `{name}` says no unit; {h5md_text(unit)} is assumed"
            if problem not in self.problems:
                self.problems.append(problem)
            return 1.0
        try:
            return into(unit, text(said))
        except ValueError as error:
            raise ValueError(f"{self.label}: `{name}`: {error}") from error


def _spread(dataset: h5py.Dataset, num: int) -> np.ndarray:
    """Steps or times of ``num`` rows: stored one by one, or as an increment with an offset."""
    values: np.ndarray = dataset[()]
    if dataset.ndim:
        if len(values) < num:
            raise ValueError(f"`{dataset.name}` has {len(values)} values for {num} frames")
        return values[:num]
    return values * np.arange(num) + dataset.attrs.get("offset", 0)
