"""The calculators that ``mlff label`` knows by name, and how any other is named: ``package.module:Class``."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


@dataclass(frozen=True)
class _Named:
    home: str  #: module:Class
    install: str
    defaults: Mapping[str, object] = field(default_factory=dict)
    theory: str = ""  #: what its energies are of; empty: its setting `method`


NAMED = {
    "tblite": _Named("tblite.ase:TBLite", 'pip install "mlff[reference]"', {"method": "GFN2-xTB", "verbosity": 0}),
    "xtb": _Named("xtb.ase.calculator:XTB", "pip install xtb", {"method": "GFN2-xTB"}),
    "emt": _Named("ase.calculators.emt:EMT", "pip install ase", theory="EMT"),
    "lj": _Named("ase.calculators.lj:LennardJones", "pip install ase", {"smooth": True}, theory="Lennard-Jones"),
}
"""Calculators with a name of their own."""


@dataclass(frozen=True)
class CalculatorSpec:
    """A calculator as a user names it, checked as far as that goes without importing it; ``build`` makes one."""

    home: str  #: module:Class, or the path of one of the package's own models
    settings: Mapping[str, object]
    theory: str  #: level of theory of its energies, for the file
    install: str = ""
    model: bool = False  #: one of the package's own: costly to make, used again for every structure
    named: bool = False

    @classmethod
    def parse(cls, text: str, settings: Mapping[str, object] | None = None) -> CalculatorSpec:
        """``tblite``, ``tblite:method=GFN1-xTB``, ``package.module:Class``, or a model as ``mlff md`` takes it.

        ``settings`` are keyword arguments of the calculator, those in the text included.

        Raises:
            ValueError: no such calculator or model, or a setting that is not KEY=VALUE or given twice.
        """
        name, _, rest = text.partition(":")
        if name in NAMED:
            chosen = _joined(parse_settings(rest.split(",") if rest else []), settings or {})
            named = NAMED[name]
            used = {**named.defaults, **chosen}
            theory = named.theory or str(used["method"])
            shown = {key: value for key, value in chosen.items() if key not in ("method", "verbosity")}
            return cls(named.home, used, theory + _shown(shown), named.install, named=True)
        chosen = dict(settings or {})
        if rest and all(part.isidentifier() for part in (*name.split("."), *rest.split("."))):
            return cls(text, chosen, text + _shown(chosen), f"pip install {name.partition('.')[0]}")
        from mlff.potential.committee import member_folders, resolve_members
        from mlff.potential.pretrained import list_models

        if not Path(text).exists() and os.sep not in text and text not in list_models():
            raise ValueError(
                f"the calculator {text!r} is not known; give {', '.join(NAMED)} (with settings: tblite:method=GFN1-xTB), "
                f"package.module:Class for any other of ASE's interface, or a model: "
                f"{', '.join(list_models()) or 'the path of a checkpoint'}"
            )
        checkpoints = resolve_members(text)
        model = str((Path(text) if member_folders(text) else checkpoints[0]).absolute())
        return cls(model, chosen, f"mlff model {Path(text).name}{_shown(chosen)}", model=True)

    @property
    def program(self) -> str:
        """Package and version, for the file; without the version where the package does not say it."""
        package = "mlff" if self.model else self.home.partition(".")[0].partition(":")[0]
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            return package

    def build(self, **more: object) -> Calculator:
        """The calculator, with the keyword arguments ``more`` besides its settings.

        Raises:
            ValueError: it is not installed, not in its module, or refuses its settings.
        """
        if self.model:
            from mlff.calculators import make_calculator

            return _made(make_calculator, "MLFFCalculator", {"model": self.home, **self.settings, **more})
        return _made(self.factory(), self.home, {**self.settings, **more})

    def factory(self) -> Callable[..., Any]:
        """The class, or function, that makes the calculator."""
        module, _, name = self.home.partition(":")
        try:
            found: Any = importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"the calculator {self.home} cannot be imported ({error}): {self.install}") from error
        for part in name.split("."):
            if not hasattr(found, part):
                raise ValueError(f"the module {module} has no {name!r} that could make a calculator")
            found = getattr(found, part)
        if not callable(found):
            raise ValueError(f"{self.home} is a {type(found).__name__}, not a class or function that gives a calculator")
        return found

    def takes(self, keyword: str) -> bool:
        """Whether ``keyword`` is one of the calculator's own, as its signature or ASE's default parameters tell."""
        if self.model:
            return False
        factory = self.factory()
        try:
            known = keyword in inspect.signature(factory).parameters
        except (TypeError, ValueError):  # of a class in C
            known = False
        return known or keyword in (getattr(factory, "default_parameters", None) or {})


def parse_settings(texts: list[str] | tuple[str, ...]) -> dict[str, object]:
    """``KEY=VALUE`` texts as a mapping; values as YAML reads them (0.1, true, [alpb, water], null)."""
    import yaml

    settings: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            raise ValueError(f"the setting {text!r} is not KEY=VALUE, such as method=GFN2-xTB")
        try:
            settings = _joined(settings, {key: yaml.safe_load(value)})
        except yaml.YAMLError as error:
            raise ValueError(f"the value of the setting {text!r} cannot be read: {error}") from error
    return settings


def _joined(first: Mapping[str, object], second: Mapping[str, object]) -> dict[str, object]:
    twice = sorted(first.keys() & second.keys())
    if twice:
        raise ValueError(f"the setting `{twice[0]}` is given twice; give it once")
    return {**first, **second}


def _made(factory: Callable[..., Any], name: str, settings: Mapping[str, object]) -> Calculator:
    try:
        made = factory(**settings)
    except Exception as error:  # each calculator's own kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{name} cannot be made with {dict(settings)}: {reason}") from error
    if not hasattr(made, "get_property"):
        raise ValueError(f"{name} gives a {type(made).__name__}, which is no calculator of ASE")
    return made


def _shown(settings: Mapping[str, object]) -> str:
    return f" ({', '.join(f'{key}={value}' for key, value in settings.items())})" if settings else ""
