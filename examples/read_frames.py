"""Open a data file, look at its frames, and hand one to ASE: python examples/read_frames.py [FILE.h5]"""

import sys

from mlff import HDF5Dataset
from mlff.datasets import azobenzene

dataset = HDF5Dataset(sys.argv[1]) if len(sys.argv) > 1 else azobenzene()
print(f"{len(dataset)} frames, {dataset.num_states} electronic state(s), splits: {', '.join(dataset.splits)}")

frame = dataset[0]
print(f"first frame: {len(frame.atomic_numbers)} atoms, energy {frame.energy[0]:.3f} eV, trajectory {frame.trajectory}")

train = dataset[dataset.split(dataset.splits[0])["train"]]  # a view, nothing is read yet
batch = train.batch(range(10))  # ten frames as arrays, atoms concatenated
print(f"ten training frames: positions {batch.positions.shape} Å, forces {batch.forces.shape} eV/Å")

atoms = frame.to_ase()
print(f"as ASE atoms: {atoms.get_chemical_formula()}, {atoms.get_potential_energy():.3f} eV")
