"""Units of H5MD files: ours as its text, and any text of theirs as a factor into ours.

The text is a sequence of factors, each a number or a symbol with a power (``eV Angstrom-1``, ``kJ mol-1 nm-1``): module
`units` 1.0 of the specification (https://nongnu.org/h5md/modules/units.html). ``a/b``, ``a*b`` and ``a^2``, which programs
write too, are understood.
"""

from __future__ import annotations

import re

from mlff.units import BOHR, DEBYE, ELECTRON_MASS, HARTREE, KINETIC, RYDBERG

_Dimension = tuple[int, int, int, int]  # powers of length, time, mass, charge; in angstrom, fs, amu, e
_LENGTH, _TIME, _MASS, _CHARGE = (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)
_ENERGY, _FORCE, _PRESSURE, _DIPOLE, _NUMBER = (2, -2, 1, 0), (1, -2, 1, 0), (-1, -2, 1, 0), (1, 0, 0, 1), (0, 0, 0, 0)
_EV = 1 / KINETIC
_JOULE = _EV / 1.602176634e-19
_MOLE = 6.02214076e23
_UNITS = (
    ("Angstrom angstrom Ang A Å", 1.0, _LENGTH),
    ("Bohr bohr a0", BOHR, _LENGTH),
    ("pm", 1e-2, _LENGTH),
    ("nm", 10.0, _LENGTH),
    ("um", 1e4, _LENGTH),
    ("m", 1e10, _LENGTH),
    ("as", 1e-3, _TIME),
    ("fs", 1.0, _TIME),
    ("ps", 1e3, _TIME),
    ("ns", 1e6, _TIME),
    ("us", 1e9, _TIME),
    ("s sec second", 1e15, _TIME),
    ("u amu Da dalton", 1.0, _MASS),
    ("me", ELECTRON_MASS, _MASS),
    ("g", _MOLE, _MASS),
    ("kg", 1e3 * _MOLE, _MASS),
    ("e", 1.0, _CHARGE),
    ("C", 1 / 1.602176634e-19, _CHARGE),
    ("D Debye debye", DEBYE, _DIPOLE),
    ("meV", 1e-3 * _EV, _ENERGY),
    ("eV", _EV, _ENERGY),
    ("keV", 1e3 * _EV, _ENERGY),
    ("Ry", RYDBERG * _EV, _ENERGY),
    ("Hartree hartree Ha Eh", HARTREE * _EV, _ENERGY),
    ("J", _JOULE, _ENERGY),
    ("kJ", 1e3 * _JOULE, _ENERGY),
    ("cal", 4.184 * _JOULE, _ENERGY),
    ("kcal", 4184.0 * _JOULE, _ENERGY),
    ("N Newton", 1e-10 * _JOULE, _FORCE),
    ("Pa", 1e-30 * _JOULE, _PRESSURE),
    ("bar", 1e-25 * _JOULE, _PRESSURE),
    ("GPa", 1e-21 * _JOULE, _PRESSURE),
    ("mol", _MOLE, _NUMBER),
)  # spellings, value, dimension
_SYMBOLS = {name: (value, dimension) for names, value, dimension in _UNITS for name in names.split()}
_FACTOR = re.compile(r"\s*([*/]?)\s*(?:([A-Za-zÅ_][A-Za-zÅ_]*0?)\s*\^?\s*([+-]?\d+)?|(\d+(?:\.\d*)?)([+-]\d+)?)")


def h5md_text(unit: str) -> str:
    """One of our units (mlff.properties, amu) as H5MD spells it: ``eV/angstrom`` is ``eV Angstrom-1``."""
    words = []
    for over, name, power in re.findall(r"(/?)\s*([A-Za-z]+)(?:\^(\d))?", unit):
        name = {"angstrom": "Angstrom", "amu": "u"}.get(name, name)
        exponent = int(power or 1) * (-1 if over else 1)
        words.append(name if exponent == 1 else f"{name}{exponent:+d}")
    return " ".join(words)


def into(unit: str, text: str) -> float:
    """The factor that turns values in ``text`` into ``unit``, one of ours.

    Raises:
        ValueError: the text has a symbol that is not known, or another dimension.
    """
    value, dimension = _parsed(text)
    ours, expected = _parsed(h5md_text(unit))
    if dimension != expected:
        raise ValueError(f"the unit {text!r} is not of the kind of {unit}")
    return value / ours


def _parsed(text: str) -> tuple[float, _Dimension]:
    value, powers, at = 1.0, [0, 0, 0, 0], 0
    while at < len(text.rstrip()):
        match = _FACTOR.match(text, at)
        if match is None:
            raise ValueError(f"the unit {text!r} cannot be read; one such as 'eV Angstrom-1' was expected")
        over, name, power, number, exponent = match.groups()
        sign = -1 if over == "/" else 1
        if name is None:
            value *= (float(number) ** int(exponent or 1)) ** sign
        elif name not in _SYMBOLS:
            raise ValueError(f"the unit {text!r} has the symbol {name!r}; known are {', '.join(_SYMBOLS)}")
        else:
            factor, dimension = _SYMBOLS[name]
            power = sign * int(power or 1)
            value *= factor**power
            powers = [a + power * b for a, b in zip(powers, dimension, strict=True)]
        at = match.end()
    return value, (powers[0], powers[1], powers[2], powers[3])
