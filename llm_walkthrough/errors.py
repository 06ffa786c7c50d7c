"""What do we raise when something that was handed in cannot be used?

Knows nothing of the modules that raise. A message names the culprit, the value, what
was wanted and the way out, in one sentence; the command line prints it as it is.
"""


class InputError(ValueError):
    """A value, file or model that was handed in cannot be used; nothing was changed."""

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the sentence alone, without a traceback."""
        return [f"{type(self).__name__}: {self}"]


class StaleCacheError(RuntimeError):
    """A cache handle whose rows were since overwritten; it can no longer be read."""
