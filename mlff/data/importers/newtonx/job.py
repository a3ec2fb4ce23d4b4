"""What the inputs of the electronic-structure program beside a Newton-X run say: ORCA and BAGEL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ElectronicStructure:
    """Charge (e), multiplicity of each state and level of theory, as far as an input tells them."""

    charge: float | None = None
    multiplicity: tuple[int, ...] = ()
    level_of_theory: str = ""


def electronic_structure(folder: Path, num_states: int) -> ElectronicStructure:
    """Read from ``JOB_AD`` or ``JOB_NAD``; empty where there is no input of a known program."""
    for job in (folder / "JOB_NAD", folder / "JOB_AD"):
        if (job / "orca.inp").is_file():
            return _orca((job / "orca.inp").read_text(encoding="utf-8", errors="replace"), num_states)
        parts = sorted(job.glob("bagelinput*.inp"))
        if parts:
            return _bagel("\n".join(part.read_text(encoding="utf-8", errors="replace") for part in parts))
    return ElectronicStructure()


def _orca(text: str, num_states: int) -> ElectronicStructure:
    keywords = [word for line in re.findall(r"(?m)^\s*!(.*)$", text) for word in line.split()]
    level = " ".join(word for word in keywords if word.upper() not in ("ENGRAD", "GRAD"))
    if re.search(r"(?i)%tddft", text):
        level += " TDA-TDDFT" if re.search(r"(?i)\btda\s+true", text) else " TDDFT"
    place = re.search(r"(?mi)^\s*\*\s*\w+\s+([+-]?\d{1,3})\s+(\d{1,2})\b", text)
    if place is None:
        return ElectronicStructure(level_of_theory=level.strip())
    same_spin = not re.search(r"(?i)\b(triplets|sf|dosoc)\s+true", text)
    return ElectronicStructure(
        charge=float(place.group(1)),
        multiplicity=(int(place.group(2)),) * num_states if same_spin else (),
        level_of_theory=level.strip(),
    )


def _bagel(text: str) -> ElectronicStructure:
    def value(key: str) -> str:
        match = re.search(rf'"{key}"\s*:\s*"?([^",}}\s]+)', text)
        return match.group(1) if match else ""

    methods = [each.lower() for each in re.findall(r'"(?:title|method)"\s*:\s*"([^"]+)"', text)]
    method = next((each for each in ("caspt2", "casscf", "mp2", "hf") if each in methods), "")
    if method == "caspt2":
        kind = "XMS-" if value("xms") == "true" else "MS-" if value("ms") == "true" else ""
        method = f"{kind}CASPT2"
    basis = Path(value("basis")).name
    charge = value("charge")
    return ElectronicStructure(
        charge=float(charge) if re.fullmatch(r"[+-]?\d{1,3}", charge) else None,
        level_of_theory="/".join(part for part in (method.upper(), basis) if part),
    )
