"""Writes SHARC runs in SHARC's own formats, from numbers of our own: what the importer's tests read."""

from dataclasses import dataclass, field

import numpy as np
from scipy.io import netcdf_file

AMU = 1822.888486
MASSES = {6: 12.0, 1: 1.007825, 8: 15.994915}
SYMBOLS = {6: "C", 1: "H", 8: "O"}


@dataclass
class SharcRun:
    """F frames in atomic units; M components in SHARC's order: multiplicity, then M_S, then root."""

    numbers: list
    nstates: list
    frames: int
    seed: int = 0
    ezero: float = -40.0
    dtstep: float = 20.670687
    step: np.ndarray = None
    held: dict = field(default_factory=dict)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        f, n = self.frames, len(self.numbers)
        m = self.m = sum(count * (k + 1) for k, count in enumerate(self.nstates))
        self.step = np.arange(f) if self.step is None else self.step

        def cplx(*shape):
            return rng.normal(size=shape) + 1j * rng.normal(size=shape)

        hamiltonian = 1e-4 * cplx(f, m, m)
        hamiltonian = hamiltonian + hamiltonian.conj().swapaxes(1, 2)
        energies = []
        for k, count in enumerate(self.nstates):
            roots = np.sort(rng.random((f, count)), axis=1)
            energies += [roots] * (k + 1)
        energies = np.concatenate(energies, axis=1)
        hamiltonian[:, range(m), range(m)] = energies
        if len([c for c in self.nstates if c]) == 1 and self.nstates[0]:
            hamiltonian = np.einsum("fa,ab->fab", energies, np.eye(m)) + 0j
        dipole = rng.normal(size=(f, 3, m, m))
        unitary = np.linalg.qr(cplx(f, m, m))[0]
        nac = rng.normal(size=(f, m, m, n, 3))
        nac = nac - nac.swapaxes(1, 2)
        coefficients = cplx(f, m)
        coefficients /= np.linalg.norm(coefficients, axis=1, keepdims=True)
        self.held = {
            "hamiltonian": hamiltonian,
            "transformation": unitary,
            "dipole": dipole + dipole.swapaxes(2, 3) + 0j,
            "overlap": cplx(f, m, m),
            "coefficients": coefficients,
            "hopping_probability": rng.dirichlet(np.ones(m + 1), f)[:, :m],
            "kinetic_energy": rng.random(f),
            "state": rng.integers(1, m + 1, (f, 2)),
            "positions": 3 * np.arange(n)[None, :, None] * [1.0, 0, 0] + 0.1 * rng.normal(size=(f, n, 3)),
            "velocities": 1e-3 * rng.normal(size=(f, n, 3)),
            "gradients": rng.normal(size=(f, m, n, 3)),
            "nac": nac,
        } | self.held

    def header(self, version="3.0", overlap=True, gradients=True, nsteps=None):
        lines = [f"SHARC_version   {version}"]
        lines += [" method           0", " integrator           2"] if version != "2.0" else []
        lines += [
            f" maxmult           {len(self.nstates)}",
            f" nstates_m {' '.join(f'{each:11d}' for each in self.nstates)}",
            f" natom {len(self.numbers):11d}",
            f" dtstep {self.dtstep}",
            f" nsteps {self.step[-1] if nsteps is None else nsteps:11d}",
            f" ezero  {self.ezero:.15f}",
            f" write_overlap {int(overlap)}",
            f" write_grad {int(gradients)}",
            f" write_nacdr {int(gradients)}",
            f"{'*' * 37} End of settings {'*' * 37}",
            "! Atomic numbers",
            *(f"{fortran(number)}" for number in self.numbers),
            "! Elements",
            *(f" {SYMBOLS[number]} " for number in self.numbers),
            "! Atomic masses",
            *(f"{fortran(MASSES[number] * AMU)}" for number in self.numbers),
            f"{'*' * 33} End of header array data {'*' * 32}",
        ]
        return "\n".join(lines) + "\n"

    def ascii(self, version="3.0", overlap=True, gradients=True, nsteps=None, adaptive=False):
        """The text of an output.dat."""
        text = [self.header(version, overlap, gradients, nsteps)]
        text += [self.frame(k, overlap, gradients, adaptive) for k in range(self.frames)]
        return "".join(text)

    def frame(self, k, overlap=True, gradients=True, adaptive=False):
        """One frame of output.dat."""
        held = {name: values[k] for name, values in self.held.items()}
        step = f"{self.step[k]:12d}"
        if adaptive:
            step += f"{fortran(self.step[k] * self.dtstep + 0.25)} {fortran(self.dtstep)}"
        blocks = [("0 Step", step)]
        blocks += [("1 Hamiltonian (MCH) in a.u.", complex_rows(held["hamiltonian"]))]
        blocks += [("2 U matrix", complex_rows(held["transformation"]))]
        blocks += [
            (f"3 Dipole moments {x} (MCH) in a.u.", complex_rows(held["dipole"][i])) for i, x in enumerate("XYZ")
        ]
        blocks += [("4 Overlap matrix (MCH)", complex_rows(held["overlap"]))] if overlap else []
        blocks += [("5 Coefficients (diag)", complex_rows(held["coefficients"][:, None]))]
        blocks += [("6 Hopping Probabilities (diag)", rows(held["hopping_probability"][:, None]))]
        blocks += [("7 Ekin (a.u.)", f"{fortran(held['kinetic_energy'])}")]
        blocks += [("8 states (diag, MCH)", "".join(f"{each:12d}" for each in held["state"]))]
        blocks += [("9 Random number", f"{fortran(0.5)}"), ("10 Runtime (sec)", f"{12:12d}")]
        blocks += [
            ("11 Geometry in a.u.", rows(held["positions"])),
            ("12 Velocities in a.u.", rows(held["velocities"])),
        ]
        if gradients:
            m = range(1, self.m + 1)
            blocks += [(f"15 Gradients (MCH) State  {a}", rows(held["gradients"][a - 1])) for a in m]
            blocks += [
                (f"16 NACdr matrix element (MCH)  {a}   {b}", rows(held["nac"][a - 1, b - 1])) for a in m for b in m
            ]
        return "".join(f"! {title}\n{data}\n" for title, data in blocks)

    def write_netcdf(self, folder):
        """output.dat (header alone) and output.dat.nc, whose arrays are Fortran's memory."""
        (folder / "output.dat").write_text(self.header("4.0", gradients=False))
        held, m = self.held, self.m
        matrices = {"H_MCH": held["hamiltonian"], "U": held["transformation"], "Ovlap": held["overlap"]}
        arrays = {name: real(each.swapaxes(1, 2)) for name, each in matrices.items()}
        arrays["DM"] = real(held["dipole"].swapaxes(2, 3))
        arrays["coeff_diag"] = real(held["coefficients"])
        arrays["hopprob"], arrays["randnum"] = held["hopping_probability"], np.full((self.frames, 1), 0.5)
        kinetic = held["kinetic_energy"]
        arrays["Energy"] = np.stack([kinetic + 1, np.ones_like(kinetic), kinetic], axis=1)
        arrays |= {"geom": held["positions"].swapaxes(1, 2), "veloc": held["velocities"].swapaxes(1, 2)}
        shapes = dict.fromkeys(matrices, ("cnstates", "nstates"))
        shapes |= {
            "DM": ("cnstates", "nstates", "3"),
            "coeff_diag": ("cnstates",),
            "Energy": ("3",),
            "hopprob": ("nstates",),
        }
        shapes |= {"randnum": ("1",), "geom": ("natoms", "3"), "veloc": ("natoms", "3")}
        sizes = {"cnstates": 2 * m, "nstates": m, "natoms": len(self.numbers), "3": 3, "1": 1}
        with netcdf_file(folder / "output.dat.nc", "w") as file:
            file.createDimension("frame", None)
            for name, size in sizes.items():
                file.createDimension(name, size)
            for name, axes in shapes.items():
                values = arrays[name].reshape(self.frames, *(sizes[axis] for axis in axes))
                file.createVariable(name, "d", ("frame", *axes))[:] = values
            for name, values in (("state_diag", held["state"][:, 0]), ("state_MCH", held["state"][:, 1])):
                file.createVariable(name, "i", ("frame", "1"))[:] = values[:, None].astype("i4")
            file.createVariable("time_step", "i", ("frame", "1"))[:] = self.step[:, None].astype("i4")

    def write_last_qm(self, folder, stepsize=0.5):
        """A run without output.dat: input, geom, output.xyz, output.lis, QM/QM.out of the last frame."""
        bohr, hartree = 0.529177210903, 27.211386245988
        held = {name: values[-1] for name, values in self.held.items()}
        states = " ".join(map(str, self.nstates))
        (folder / "input").write_text(
            f"nstates {states}\nstepsize {stepsize}\ntmax {stepsize * (self.frames + 9)}\nezero {self.ezero}\n"
        )
        (folder / "geom").write_text(
            "".join(
                f" {SYMBOLS[z]} {z:.1f} {' '.join(f'{x:.8f}' for x in xyz)} {MASSES[z]:.8f}\n"
                for z, xyz in zip(self.numbers, self.held["positions"][0])
            )
        )
        text, listed = [], []
        for k in range(self.frames):
            diag, mch = self.held["state"][k]
            text.append(f"{len(self.numbers):12d}\n  t={k * stepsize:16.5f} {diag:4d} {mch:4d}\n")
            for z, xyz in zip(self.numbers, self.held["positions"][k]):
                text.append(f"{SYMBOLS[z]:2s}" + "".join(f" {x * bohr:16.9f}" for x in xyz) + "\n")
            kinetic = self.held["kinetic_energy"][k] * hartree
            potential = self.held["hamiltonian"][k, mch - 1, mch - 1].real * hartree
            listed.append(f"{k:10d} {k * stepsize:14.5f} {diag:6d} {mch:6d} {kinetic:14.6f} {potential:14.6f} 0 0 0\n")
        (folder / "output.xyz").write_text("".join(text))
        (folder / "output.lis").write_text("#  Step | Time\n" + "".join(listed))
        (folder / "veloc").write_text(rows(self.held["velocities"][0]) + "\n")
        (folder / "QM").mkdir()
        m, n = self.m, len(self.numbers)
        hamiltonian = held["hamiltonian"] + self.ezero * np.eye(m)
        out = [f"! 1 Hamiltonian Matrix ({m}x{m}, complex)\n{m} {m}\n{complex_rows(hamiltonian)}\n\n"]
        out.append(f"! 2 Dipole Moment Matrices (3x{m}x{m}, complex)\n")
        out += [f"{m} {m}\n{complex_rows(each)}\n" for each in held["dipole"]]
        out.append(f"! 3 Gradient Vectors ({m}x{n}x3, real)\n")
        out += [f"{n} 3 ! 1 {a} 0\n{rows(held['gradients'][a])}\n" for a in range(m)]
        out.append(f"! 5 Non-adiabatic couplings (ddr) ({m}x{m}x{n}x3, real)\n")
        out += [f"{n} 3 ! 1 {a} 0 1 {b} 0\n{rows(held['nac'][a, b])}\n" for a in range(m) for b in range(m)]
        out.append(f"! 6 Overlap matrix ({m}x{m}, complex)\n{m} {m}\n{complex_rows(held['overlap'])}\n\n")
        out.append("! 8 Runtime\n 1.0E+000\n")
        (folder / "QM" / "QM.out").write_text("".join(out))


def real(values):
    """Complex numbers as pairs of reals along the last axis."""
    return np.ascontiguousarray(values).view(np.float64)


def fortran(value):
    """A number as Fortran's E20.13E3 prints it."""
    mantissa, _, exponent = f"{value: .12E}".partition("E")
    return f"{mantissa}E{int(exponent):+04d}"


def rows(values):
    """Rows of reals."""
    return "\n".join(" ".join(fortran(value) for value in row) for row in values)


def complex_rows(values):
    """Rows of complex numbers, real and imaginary part side by side."""
    return rows(np.stack([values.real, values.imag], axis=-1).reshape(len(values), -1))
