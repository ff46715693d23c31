"""`from runwright.record import record`: see `runwright.surfaces.record`. Standard library alone."""

import sys

from runwright.surfaces.delivery import NotDelivered, deliver, main, send_kept
from runwright.surfaces.record import Run, Step, local_state, record

__all__ = ["NotDelivered", "Run", "Step", "deliver", "local_state", "main", "record", "send_kept"]

if __name__ == "__main__":
    sys.exit(main())
