"""label: structures in, a native file with their energies and forces out; killed at any moment, it goes on."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlff.data.dataset import HDF5Dataset
from mlff.data.importers.append import Earlier
from mlff.data.importers.assemble import Assembler
from mlff.data.rewrite import refuse_source
from mlff.data.schema import LARGEST_INTEGER
from mlff.data.writer import HDF5Writer
from mlff.label.calculators import CalculatorSpec
from mlff.label.gather import gather
from mlff.label.journal import Journal
from mlff.label.pool import compute
from mlff.label.structures import Source, Structure, read_structures, survey


@dataclass
class LabelReport:
    """What came of a labelling."""

    path: Path
    num_frames: int = 0
    num_systems: int = 0
    num_earlier: int = 0  #: of the structures, labelled before this run was started
    level_of_theory: str = ""
    failures: list[str] = field(default_factory=list)  #: structures left out, a sentence each

    def text(self) -> str:
        """For people."""
        lines = [f"{self.num_frames:,} frames of {self.num_systems:,} systems labelled with {self.level_of_theory}"]
        if self.num_earlier:
            lines[0] += f" ({self.num_earlier:,} structures of them by an earlier run)"
        if self.failures:
            lines.append(f"{len(self.failures):,} structures were left out:")
            lines += [f"  {each}" for each in self.failures[:10]]
            if len(self.failures) > 10:
                lines.append(f"  and {len(self.failures) - 10:,} more, which `mlff data info` lists")
        return "\n".join(lines)


def label(
    structures: Sequence[Source],
    output: str | os.PathLike[str],
    *,
    calculator: str = "tblite",
    settings: Mapping[str, object] | None = None,
    charge: float | None = None,
    multiplicity: int | None = None,
    level_of_theory: str | None = None,
    every: int = 1,
    workers: int = 1,
    append: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
) -> LabelReport:
    """Compute energies, forces and (where periodic) stress of structures and write them to the native file ``output``.

    Frames are in the order of the structures, whatever the number of workers; each file's trajectories, times and
    velocities are kept. A structure that fails is left out and told, here and in the file's report. Results are kept in
    OUTPUT.labels until the output is whole: the same call after a kill goes on with what is missing.

    Args:
        structures: files that ASE reads, native files, or ase.Atoms.
        calculator: a name, ``package.module:Class``, or one of the package's models (`CalculatorSpec.parse`).
        settings: keyword arguments of the calculator.
        charge: total charge in e, in place of what the structures say (0 where they do not).
        multiplicity: 2S+1, likewise.
        level_of_theory: what the energies are of, in place of what the calculator's name and settings tell.
        every: take every so-many-th structure of each source.
        workers: processes that compute side by side.
        append: add to ``output`` where it exists; overwrite: replace it, and drop an unfinished labelling of another kind.
        progress: called with the structures done, those that failed among them, and all.

    Raises:
        ValueError: a calculator that cannot be made, an output that exists, structures that cannot be read, or none that
            could be labelled.
    """
    output = Path(output)
    check_request(output, workers=workers, every=every, append=append, overwrite=overwrite)
    refuse_source(output, structures)
    if multiplicity is not None and not 1 <= multiplicity <= LARGEST_INTEGER:
        raise ValueError(f"`multiplicity` is {multiplicity}; 2S+1, so 1 or more, was expected")
    if charge is not None and not math.isfinite(charge):
        raise ValueError(f"`charge` is {charge}; a number of elementary charges was expected")
    spec = CalculatorSpec.parse(calculator, settings)
    theory = spec.theory if level_of_theory is None else level_of_theory

    def read() -> Iterator[Structure]:
        return read_structures(structures, every=every, charge=charge, multiplicity=multiplicity)

    total, digest = survey(read())
    if not total:
        raise ValueError("no structure was given; name at least one file with structures")
    header: dict[str, Any] = {"calculator": spec.home, "settings": dict(spec.settings), "structures": digest}
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    if append and output.exists() and any(each.source_sha256 == digest for each in HDF5Dataset(output).trajectories):
        raise ValueError(f"{output} holds these structures with labels of this calculator already, they are not added again")
    journal = Journal(output, header, overwrite=overwrite)
    finished = False
    try:
        report = LabelReport(output, num_earlier=len(journal.done), level_of_theory=theory)
        wanted = ((number, each) for number, each in enumerate(read()) if number not in journal.done)
        failed = 0
        for number, answer in compute(spec, wanted, workers):
            journal.add(number, answer)
            failed += "error" in answer
            if progress is not None:
                progress(len(journal.done), failed, total)
        adding = append and output.exists()
        with HDF5Writer(output, "a" if adding else "x", overwrite=overwrite, durable=False) as writer:
            earlier = Earlier(HDF5Dataset(output) if adding else None)
            assembler = Assembler(writer, level_of_theory=theory, earlier=earlier)
            for trajectory in gather(read(), journal.labels(), spec.program, digest, report.failures):
                assembler.add(trajectory, {})
                report.num_frames += trajectory.num_frames
            if not report.num_frames:
                finished = True  # nothing in the journal is worth keeping
                raise ValueError(
                    f"none of the {total:,} structures could be labelled, nothing was written: {report.failures[0]}"
                )
            writer.add_report(report.failures)
            report.num_systems = len(assembler.systems)
        finished = True
    finally:
        journal.close(remove=finished or not journal.done)
    return report


def check_request(output: Path, *, workers: int, every: int, append: bool, overwrite: bool) -> None:
    """Raise ValueError, before anything is computed, for what cannot be written or makes no sense."""
    for name, value in (("workers", workers), ("every", every)):
        if value < 1:
            raise ValueError(f"`{name}` is {value}; 1 or more was expected")
    if append and overwrite:
        raise ValueError("give either `--append` (keep what the output holds) or `--overwrite` (replace it), not both")
    if output.is_dir():
        raise ValueError(f"the output {output} is a folder; give the name of a file")
    if output.exists() and not (append or overwrite):
        raise ValueError(f"{output} exists already; choose another name, or give `--append` or `--overwrite`")
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(f"the folder {output.parent} does not exist; make it first")
