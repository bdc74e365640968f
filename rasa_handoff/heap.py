"""Keeps Python's garbage collector away from the bot's model, which is a million objects that stay.

The collector would walk over all of them again and again, at a quarter of the cost of each message
(docs/benchmarks.md). The bot's own turns get faster, too.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Let the collector look at everything once, then at nothing of it again; call it when a model was loaded."""
    gc.unfreeze()  # a model that was replaced has to go
    gc.collect()
    gc.freeze()
