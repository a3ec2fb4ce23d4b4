"""Fast inference on a CPU: tabulated filters, fused sums over neighbours, energy and forces compiled as one program."""

from .build import CompilationError
from .cache import cache_folder
from .potential import CompiledPotential, Evaluation, Structure
from .program import Program

__all__ = ["CompilationError", "CompiledPotential", "Evaluation", "Program", "Structure", "cache_folder"]
