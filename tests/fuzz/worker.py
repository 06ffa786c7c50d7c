"""One process that reads damaged cases, one after the other, and tells of each.

It writes a line before each case and one after it, so that whoever watches knows which
case a crash or a hang belongs to.
"""

from __future__ import annotations

import random
import sys
import traceback

from readers import READERS

from llm_walkthrough.errors import InputError, StaleCacheError


def main(name: str, seed: int, first: int, count: int) -> None:
    """Read `count` cases from number `first` on."""
    for number in range(first, first + count):
        print(f"case {number}", flush=True)
        outcome = "taken"
        try:
            READERS[name](random.Random(f"{name} {seed} {number}"))  # noqa: S311 - a game
        except (InputError, StaleCacheError) as error:
            outcome = "refused" if "\n" not in str(error) else f"lines {error!r}"
        except BaseException:  # noqa: BLE001 - a library's panic is none of Exception
            outcome = f"traceback {traceback.format_exc()!r}"
        print(f"done {outcome}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
