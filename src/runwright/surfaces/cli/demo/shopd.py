"""The demo's shop: serves one page and holds a lock while it lives."""

import http.server
import os
import pathlib
import signal
import sys

folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
lock = folder / "shopd.lock"
lock.write_text(f"{os.getpid()}\n")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
try:
    os.chdir(folder)
    handler = http.server.SimpleHTTPRequestHandler
    http.server.ThreadingHTTPServer(("127.0.0.1", port), handler).serve_forever()
finally:
    lock.unlink(missing_ok=True)
