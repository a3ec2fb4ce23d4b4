"""Make a corpus of small CHNO molecules on GFN2-xTB: python examples/make_corpus.py [--molecules 2000] [-o chno.h5]

It needs RDKit and tblite (pip install "mlff[corpus]"). Without arguments it makes six molecules, in seconds, to be tried;
`--molecules 2000` made the set inside the package (`mlff.datasets.chno()`). A run that is stopped goes on where it was when
the same command is given again: geometries are kept in OUTPUT.jsonl, labels beside the output until it is whole.

A molecule is a core with up to three substituents, nine heavy atoms at most, drawn with a fixed seed. RDKit gives its
conformers (two, where bonds can turn), which are relaxed; two more frames come from 50 fs of dynamics that start from the
first minimum with the kinetic energy of 1,600 K. Each molecule is one trajectory, called by its SMILES, so that a split by
trajectory holds whole molecules out; relaxed frames are those with `max_force` 0.05 eV/angstrom. Atoms are sorted by
element, so that isomers share a system of the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.splits import by_trajectory
from mlff.graph.topology import covalent_bonds
from mlff.label import label

CORES = """
    C CC C=C C#C CCC C=CC C=C=C CCCC C=CC=C CC(C)C CCCCC C=CC=CC=C
    N O CN CO CNC COC C=N N=N CN=NC C=NN NN C=O CC=O CC(C)=O O=CC=O C=CC=O CN=C NC=N CC=N
    C#N CC#N C=C=O OC=O NC=O CC(N)=O COC=O NC(N)=O CN=C=O C[N+](=O)[O-] CN=O NO CC=NO
    C1CC1 C1CCC1 C1CCCC1 C1CCCCC1 C1=CCCC1 C1=CCCCC1 C1=CCC=CC1 C1CO1 C1CN1 C1CCO1 C1CCOC1 C1CCNC1 C1CCOCC1 C1CCNCC1
    C1COCCN1 C1CNCCN1 O=C1CCC1 O=C1CCCC1 O=C1CCCN1 O=C1CCCO1 C1=CC(=O)C=CC1=O
    c1ccccc1 c1ccncc1 c1cncnc1 c1cnccn1 c1ccnnc1 c1ccoc1 c1cc[nH]c1 c1cnc[nH]1 c1cn[nH]c1 c1cocn1 c1conc1 c1nnc[nH]1
    Cc1ccccc1 Nc1ccccc1 Oc1ccccc1 C=Cc1ccccc1 N#Cc1ccccc1 O=Cc1ccccc1 O=Nc1ccccc1 N=Nc1ccccc1 CN=Nc1ccccc1
    c1ccc2[nH]ccc2c1 c1ccc2occc2c1 C1CC2CCC1C2
""".split()
SUBSTITUENTS = "C C C CC C(C)C C=C C#C N N NC N(C)C O O OC CO CN C=O C(C)=O C(N)=O C(=O)O C#N C=N N=NC N=C OC=O".split()
UNSTABLE = ("[OX2][OX2]", "[OX2][NX3]", "[N;!a]~[N;!a]~[N;!a]", "[CX4]([OX2H])[OX2H]", "C=C=[C,N]=[C,N]", "N=N[OX2]")
HEAVY_ATOMS = 9
METHOD = "GFN2-xTB"


def molecules() -> Iterator[str]:
    """Canonical SMILES of different molecules, without end, the same in every run: the cores, then substituted ones."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")
    unstable = [Chem.MolFromSmarts(each) for each in UNSTABLE]
    draw, seen = random.Random(1), set()
    for k in range(10_000_000):
        molecule = Chem.MolFromSmiles(CORES[k] if k < len(CORES) else draw.choice(CORES))
        for _ in range(0 if k < len(CORES) else draw.randint(1, 3)):
            site = draw.choice([atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetTotalNumHs()] or [None])
            group = Chem.MolFromSmiles(draw.choice(SUBSTITUENTS))
            if site is None or molecule.GetNumAtoms() + group.GetNumAtoms() > HEAVY_ATOMS:
                break
            joined = Chem.RWMol(Chem.CombineMols(molecule, group))
            joined.AddBond(site, molecule.GetNumAtoms(), Chem.BondType.SINGLE)
            if joined.GetAtomWithIdx(site).GetIsAromatic():
                joined.GetAtomWithIdx(site).SetNumExplicitHs(0)
            if Chem.SanitizeMol(joined, catchErrors=True):
                break
            molecule = joined.GetMol()
        smiles = Chem.MolToSmiles(molecule)
        if smiles not in seen and not any(molecule.HasSubstructMatch(each) for each in unstable):
            seen.add(smiles)
            yield smiles


def geometries(smiles: str) -> list[Atoms]:
    """Relaxed conformers, then two hot frames; none where the molecule does not survive its relaxation."""
    from rdkit import Chem
    from rdkit.Chem import AllChem, rdMolDescriptors
    from tblite.ase import TBLite

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    number = 2 if rdMolDescriptors.CalcNumRotatableBonds(molecule) else 1
    seed = int.from_bytes(hashlib.sha256(smiles.encode()).digest()[:4], "little") & 0x7FFFFFFF
    order = sorted(range(molecule.GetNumAtoms()), key=lambda k: molecule.GetAtomWithIdx(k).GetSymbol())
    bonds = {frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in molecule.GetBonds()}
    bonds = {frozenset(order.index(k) for k in bond) for bond in bonds}
    AllChem.EmbedMultipleConfs(molecule, number, randomSeed=seed, pruneRmsThresh=0.3)
    AllChem.MMFFOptimizeMoleculeConfs(molecule, maxIters=2000)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])[order]
    relaxed = []
    for conformer in molecule.GetConformers():
        atoms = Atoms(numbers, conformer.GetPositions()[order], calculator=TBLite(method=METHOD, verbosity=0))
        if BFGS(atoms, logfile=None).run(fmax=0.03, steps=300) and bonded(atoms) == bonds:
            if all(abs(atoms.get_potential_energy() - other.get_potential_energy()) > 1e-3 for other in relaxed):  # eV
                relaxed.append(atoms)
    return relaxed + hot_frames(relaxed[0], seed) if relaxed else []


def hot_frames(minimum: Atoms, seed: int) -> list[Atoms]:
    """Frames after 25 and 50 fs at constant energy, from the minimum with the kinetic energy of 1,600 K."""
    atoms = minimum.copy()
    atoms.calc = minimum.calc
    MaxwellBoltzmannDistribution(atoms, temperature_K=1600, rng=np.random.default_rng(seed))
    dynamics, frames = VelocityVerlet(atoms, 1.0 * units.fs), []
    for _ in range(2):
        dynamics.run(25)
        frames.append(atoms.copy())
    return frames


def bonded(atoms: Atoms) -> set[frozenset[int]]:
    """Pairs of atoms nearer than 1.3 times the sum of their covalent radii."""
    pairs, _ = covalent_bonds(atoms.numbers, atoms.positions, tolerance=1.3)
    return {frozenset(pair) for pair in pairs.tolist()}


def make_geometries(path: Path, wanted: int) -> list[Atoms]:
    """The frames of so many molecules. Those in ``path``, a line a molecule, are taken from there; new ones are added."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]  # a kill may leave half a last line
    path.write_text("".join(line for line in lines if line.endswith("\n")))
    held = {each["smiles"]: each for each in whole}
    frames: list[Atoms] = []
    found = 0
    for smiles in molecules():
        if smiles not in held:
            try:
                made = geometries(smiles)
            except Exception as error:  # whatever RDKit or the SCF makes of an odd molecule: the next one
                print(f"{smiles}: left out ({' '.join(str(error).split())[:80]})", flush=True)
                made = []
            positions = [np.round(atoms.positions, 6).tolist() for atoms in made]
            held[smiles] = {"smiles": smiles, "numbers": made[0].numbers.tolist() if made else [], "positions": positions}
            with path.open("a") as file:
                file.write(json.dumps(held[smiles]) + "\n")
        kept = held[smiles]
        frames += [Atoms(kept["numbers"], each, info={"trajectory": smiles}) for each in kept["positions"]]
        found += bool(kept["positions"])
        if found % 100 == 0 and kept["positions"]:
            print(f"{found} molecules, {len(frames)} frames", flush=True)
        if found == wanted:
            break
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("chno.h5"))
    parser.add_argument("--molecules", type=int, default=6)
    parser.add_argument("--workers", type=int, default=1, help="processes that label")
    chosen = parser.parse_args()
    frames = make_geometries(chosen.output.with_suffix(".jsonl"), chosen.molecules)
    print(label(frames, chosen.output, calculator="tblite", settings={"method": METHOD}, workers=chosen.workers).text())
    dataset = HDF5Dataset(chosen.output)
    with HDF5Writer(chosen.output, "a") as writer:
        split = by_trajectory(dataset, (0.9, 0.05, 0.05), seed=0)
        writer.add_split("trajectory", split, kind="trajectory", seed=0, fractions=(0.9, 0.05, 0.05))
    print(f"{dataset.path}: {len(dataset)} frames, {len(dataset.trajectories)} molecules, {len(dataset.systems)} formulas")


if __name__ == "__main__":
    main()
