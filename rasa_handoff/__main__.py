"""The command line as `python -m rasa_handoff`."""

from __future__ import annotations

import sys

from rasa_handoff.cli import main

if __name__ == "__main__":
    sys.exit(main())
