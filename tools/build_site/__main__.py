"""`python -m tools.build_site`: the site, built."""

from __future__ import annotations

import sys

from llm_walkthrough.errors import InputError
from tools.build_site.panel import ROOT, write_panel


def main() -> int:
    """Build the site; returns the exit status."""
    try:
        write_panel(ROOT / "site" / "panel")
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
