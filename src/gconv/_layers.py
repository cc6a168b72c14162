"""Where pickles of layers made by version 0.1 find the function that makes them again."""

from gconv._api.layers import _rebuild

__all__ = ["_rebuild"]
