"""Pictures of a native file: energies, gaps, forces, populations and internal coordinates, each a matplotlib Figure."""

from mlff.data.plots.coordinates import plot_coordinates
from mlff.data.plots.energies import plot_energies
from mlff.data.plots.folder import KINDS, Picture, draw_pictures
from mlff.data.plots.forces import plot_forces
from mlff.data.plots.gaps import plot_gaps
from mlff.data.plots.populations import plot_populations
from mlff.data.plots.shown import NothingToDraw

__all__ = ["KINDS", "NothingToDraw", "Picture", "draw_pictures", "plot_coordinates", "plot_energies", "plot_forces",
           "plot_gaps", "plot_populations"]  # fmt: skip
