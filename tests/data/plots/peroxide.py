"""Trajectories of hydrogen peroxide in three states, and what a picture drew."""

import numpy as np

ACTIVE = ([2, 2, 1, 1, 0, 0], [2, 2, 2, 2, 2, 1], [1, 1, 1])  # of three trajectories, a frame every 0.5 fs
HOP = ([0, 0, 1, 0, 1, 0], [0, 0, 0, 2, 0, 1], [0, 0, 0])  # with a frustrated hop in the second
NUMBERS = (1, 8, 8, 1)


def peroxide(torsion: np.ndarray) -> np.ndarray:
    """H-O-O-H with right angles at the oxygens and the given torsion in degrees: ``[F]`` to ``[F,4,3]``."""
    angle = np.radians(torsion)
    still = np.zeros_like(angle)
    hydrogen = np.stack([np.cos(angle), np.sin(angle), still + 1.45], axis=1)
    fixed = np.broadcast_to([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.45]], (len(angle), 3, 3))
    return np.concatenate([fixed, hydrogen[:, None]], axis=1)


def columns(k: int) -> dict[str, np.ndarray]:
    """Trajectory ``k``: energies that tell state, frame and trajectory apart, forces of the active state only."""
    active = np.array(ACTIVE[k])
    frames = np.arange(len(active))
    energy = -100.0 + 2.0 * np.arange(3) + 0.1 * frames[:, None] + 0.01 * k
    forces = np.full((len(active), 4, 3, 3), np.nan)
    forces[frames, :, active] = 1.0 + k
    coefficients = np.zeros((len(active), 5), complex)  # a triplet has three components
    coefficients[:, 0], coefficients[:, 2:] = np.sqrt(0.4), np.sqrt(0.2)
    return {
        "positions": peroxide(150.0 + 15.0 * frames),  # passes 180 degrees
        "energy": energy, "forces": forces, "coefficients": coefficients, "active_state": active,
        "hop": np.array(HOP[k]), "time": 0.5 * frames,
    }  # fmt: skip


def lines(axes):
    """The lines of a panel by their labels."""
    return {line.get_label(): line for line in axes.lines}


def counts(axes):
    """The histograms of a panel by their labels: counts and edges."""
    return {patch.get_label(): patch.get_data()[:2] for patch in axes.patches if hasattr(patch, "get_data")}
