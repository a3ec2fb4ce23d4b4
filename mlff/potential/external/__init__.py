"""Models that other packages trained, as potentials: their checkpoints are pickles, read once and with consent."""

from .convert import SOURCES, convert, parse_source

__all__ = ["SOURCES", "convert", "parse_source"]
