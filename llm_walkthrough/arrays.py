"""Names, shapes and dtypes of the arrays that the other modules hand around.

Read `Float32[np.ndarray, "vocab"]` as: float32, one axis, as long as the vocabulary.
The axis names are those of the field and mean the same everywhere:

    sequence   tokens that go through the graph in one run
    past       tokens that the KV cache holds already
    vocab      one entry for each token the model knows (49,152 in SmolLM2)
    kv_heads   heads that own a key and a value; several query heads may share one
    head_dim   numbers in one key or value (64 in SmolLM2)

These names are for people and type checkers; nothing is checked while running, so no
module pays for importing them.
"""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # names for readers cost no time while running
    import numpy as np
    from jaxtyping import Bool, Float, Float32, Float64, Int64

# --- tokens -----------------------------------------------------------------------
TokenIds: TypeAlias = "Int64[np.ndarray, ' sequence']"
"""Token ids in reading order, each in 0 … vocab-1."""

# --- what comes out of the graph ----------------------------------------------------
Logits: TypeAlias = "Float32[np.ndarray, ' vocab']"
"""One score for each token of the vocabulary: any real number, -inf for "never"."""

LogitsRows: TypeAlias = "Float32[np.ndarray, 'sequence vocab']"
"""Row `i` scores what may follow token `i` of the run."""

Probabilities: TypeAlias = "Float64[np.ndarray, ' vocab']"
"""Softmax of the logits: each at least 0, together 1."""

TokenMask: TypeAlias = "Bool[np.ndarray, ' vocab']"
"""One answer for each token of the vocabulary: may it come next?"""

# --- what the cache holds -----------------------------------------------------------
KeyOrValue: TypeAlias = "Float[np.ndarray, 'batch kv_heads past head_dim']"
"""The keys, or the values, of one layer; batch is 1 in this package."""
