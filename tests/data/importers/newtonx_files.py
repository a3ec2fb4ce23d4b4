"""Writes runs of Newton-X with numbers of our own, and reads them."""

import numpy as np

from mlff.data.importers import ImportOptions
from mlff.data.importers.newtonx.log import lower_triangle
from mlff.data.importers.newtonx.run import read_newtonx
from mlff.units import ATOMIC_TIME, ELECTRON_MASS

MASSES = np.array([12.0, 1.00782504])
NUMBERS = (6, 1)
DT = 0.5


class Run:
    """A made-up run: two atoms on parabolas, one for each state, along a straight line, printed as Newton-X prints."""

    def __init__(self, num_frames=6, num_states=4, hop_at=3, degenerate=False):
        self.num_frames, self.num_states = num_frames, num_states
        time = np.arange(num_frames) * DT / ATOMIC_TIME
        start = np.array([[0.1, -0.2, 0.3], [0.2, 1.9, -0.4]])
        velocity = np.array([[1e-4, 2e-4, -1e-4], [-12e-4, 20e-4, 8e-4]])
        self.velocities = np.repeat(velocity[None], num_frames, axis=0)
        self.positions = start + velocity * time[:, None, None]
        stiff = 0.4 + 0.1 * np.arange(num_states)
        away = self.positions[:, 1] - self.positions[:, 0] - np.array([0.0, 2.0, 0.0])
        self.energy = -40 + 0.1 * np.arange(num_states) + stiff / 2 * (away**2).sum(axis=1)[:, None]
        if degenerate:
            self.energy[:, 1] = self.energy[:, 2]
        pull = stiff[:, None] * away[:, None]  # [F,S,3]
        self.gradient = np.stack([-pull, pull], axis=1)  # [F,N,S,3]
        self.active = np.where(np.arange(num_frames) >= hop_at, 1, 2)
        self.kinetic = 0.5 * (MASSES[:, None] * self.velocities**2).sum(axis=(1, 2)) / ELECTRON_MASS
        self.nac = np.random.default_rng(1).normal(size=(num_frames, len(lower_triangle(num_states)), 2, 3))

    def step(self, k, *, number=None, acceleration=True):
        before = self.active[max(k - 1, 0)] + 1
        hops = int(k > 0 and (self.active[1:k] != self.active[: k - 1]).sum())
        word = "Initial" if k == 0 else "New"
        atoms = "".join(
            f" {'CH'[a]}     {NUMBERS[a]:.1f}{x[0]:14.8f}{x[1]:14.8f}{x[2]:14.8f}{MASSES[a]:14.8f}\n"
            for a, x in enumerate(self.positions[k])
        )
        text = (
            f"STEP {k if number is None else number:8d}    Molecular dynamics on state {before:2d}    "
            f"TIME = {k * DT:10.2f} fs\nType of dyn. =    4    N. of hoppings = {hops:4d}    N. of rejec. hoppings =    0"
            f"\n \n  {word} geometry: \n{atoms} \n  {word} velocity: \n{table(self.velocities[k])}"
        )
        if acceleration:
            hopped = k > 0 and self.active[k] != self.active[k - 1]
            value = -self.gradient[k][:, self.active[k]] / MASSES[:, None] * ELECTRON_MASS * (not hopped)
            text += f" \n  {word} acceleration: \n{table(value)}"
        total = self.kinetic[k] + self.energy[k, self.active[k]]
        text += f" \n     Time    Etot         Ekin       Epot E0,      E1, ...\n%{k * DT:11.3f}{total:16.9f}"
        text += f"{self.kinetic[k]:16.9f}{numbers(self.energy[k])}\n"
        text += "Etot variation =   0.000000 au    Worse conservation =   0.000000 au\n \n"
        text += "".join(
            f" Wave function state {s + 1:2d}: {float(s == self.active[k]):24.14f} {0.1 * s:24.14f}\n"
            for s in range(self.num_states)
        )
        return text + " \n ------------\n \n"

    def dyn(self, steps=None, **options):
        steps = range(self.num_frames) if steps is None else steps
        head = f" \n      *** Molecular Dynamics ***\n \nOutput printed at each kt=   1 steps ( {DT:.2f} fs).\n \n"
        return head + "".join(self.step(k, **options) for k in steps)

    def en(self, steps=None):
        steps = range(self.num_frames) if steps is None else steps
        return "".join(
            f"{k * DT:10.3f}{numbers(self.energy[k])}{self.energy[k, self.active[k]]:16.9f}"
            f"{self.kinetic[k] + self.energy[k, self.active[k]]:16.9f}\n"
            for k in steps
        )

    def log(self, steps=None, *, version="2.2", zero=(), tracked=True):
        text = f"    Newton-X version {version} (build 5, 2018-04-11)\n"
        for k in range(self.num_frames) if steps is None else steps:
            before = self.active[max(k - 1, 0)]
            pairs = np.where(np.isin(np.arange(len(self.nac[k])), zero)[:, None, None], 0, self.nac[k]).reshape(-1, 3)
            text += f"\n run-bagel.pl: //// GRAD  \nGradient vectors (a.u.) = \n{table(self.gradient[k][:, before])}"
            text += (
                f"\n run-bagel.pl: //// NONAD \nNACME vectors (a.u.) = \n{table(-pairs)}The global phase is:  -1\n\n"
            )
            if tracked:
                text += f"Nonadiabatic coupling vectors after phase adjustment (a.u.):\n{table(pairs)} \n"
            text += (
                f"            FINISHING STEP {k}, TIME {k * DT:.4f} fs on SURFACE {self.active[k] + 1}            \n"
            )
        return text + "          ====================== NEWTON-X ends here ==================  \n"

    def write(self, folder, *, dyn=None, en=None, log=None, tmax=None):
        (folder / "RESULTS").mkdir(parents=True, exist_ok=True)
        (folder / "RESULTS" / "dyn.out").write_text(self.dyn() if dyn is None else dyn)
        if en is not False:
            (folder / "RESULTS" / "en.dat").write_text(self.en() if en is None else en)
        if log is not None:
            (folder / "moldyn.log").write_text(log)
        tmax = (self.num_frames - 1) * DT if tmax is None else tmax
        (folder / "control.dyn").write_text(f"&input\n nat = 2\n dt = {DT}\n tmax = {tmax}\n/\n")
        return folder


def table(rows):
    return "".join("".join(f"{x:14.8f}" for x in row) + "\n" for row in np.reshape(rows, (-1, 3)))


def numbers(values):
    return "".join(f"{x:16.9f}" for x in values)


def read(folder):
    (trajectory,) = read_newtonx([folder], ImportOptions())
    return trajectory
