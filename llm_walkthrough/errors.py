"""What do we raise when something that was handed in cannot be used?

Knows nothing of the modules that raise. A message names the culprit, the value, what
was wanted and the way out, in one sentence; the command line prints it as it is.
"""


class InputError(ValueError):
    """A value, file or model that was handed in cannot be used; nothing was changed."""


class StaleCacheError(RuntimeError):
    """A cache handle whose rows were since overwritten; it can no longer be read."""
