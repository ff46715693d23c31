"""Durable work on DBOS, its only importer.

A workflow carries ids and nothing else, and is one DBOS step that calls a handler. That is enough: what must
happen exactly once on a host is kept by our own journal and by the host's supervisor (promise 4), so a
handler may be called again at any time and goes on where it was. DBOS gives what it is good at: rows that
survive a crash, one run per host at a time over all workers, priorities, and recovery by executor id.
"""

from __future__ import annotations

from runwright.adapters.durable.queue import DurableQueue
from runwright.adapters.durable.takeover import take_over
from runwright.adapters.durable.worker import DurableWorker, WorkHandlers

__all__ = ["DurableQueue", "DurableWorker", "WorkHandlers", "take_over"]
