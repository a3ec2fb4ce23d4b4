"""Frames on disk and in memory: the native HDF5 file, its splits and statistics, and the importers that fill it."""

from mlff.data.batch import Batch
from mlff.data.dataset import HDF5Dataset
from mlff.data.frame import Frame
from mlff.data.system import System
from mlff.data.view import HDF5View
from mlff.data.writer import HDF5Writer

__all__ = ["Batch", "Frame", "HDF5Dataset", "HDF5View", "HDF5Writer", "System"]
