"""The errors of this package: what was handed in cannot be used, or is out of date.

Knows nothing of the modules that raise. A message names the culprit, the value, what
was wanted and the way out, in one sentence; the command line prints it as it is.
"""

FETCH_AGAIN = "fetch or convert the model again"
"""The way out where a file of a model is damaged."""


class InputError(ValueError):
    """A value, file or model that was handed in cannot be used; nothing was changed."""

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the sentence alone, without a traceback."""
        return [f"{type(self).__name__}: {self}"]


class StaleCacheError(RuntimeError):
    """A cache handle whose rows were since overwritten; it can no longer be read."""
