"""Tell an autoscaler over HTTP how much there is to do: ``python demand.py bot:inbox``."""

from __future__ import annotations

import importlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

from celery_inbox import Inbox, StorageUnavailable

PORT = 8080


class Demand(BaseHTTPRequestHandler):
    """Answers GET with ``lag``, seconds that the oldest due session has waited, and ``running``, sessions in hand.

    Redis away: 503, so that an autoscaler does not take it for idleness.
    """

    inbox: ClassVar[Inbox]

    def do_GET(self) -> None:  # noqa: N802
        try:
            stats = self.inbox.stats()
        except StorageUnavailable:
            self.send_error(503, "Redis is away")
            return
        due_at = stats.oldest_due_at
        lag = 0.0 if due_at is None else max(0.0, time.time() - due_at / 1000)
        body = json.dumps({"lag": round(lag, 3), "running": stats.running}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(inbox: Inbox, port: int = PORT) -> HTTPServer:
    """Listen on a port, 0 for a free one; ``serve_forever`` of what is returned answers."""
    return HTTPServer(("", port), type("DemandOfOne", (Demand,), {"inbox": inbox}))


if __name__ == "__main__":
    sys.path.insert(0, "")
    module, _, name = sys.argv[1].partition(":")
    serve(getattr(importlib.import_module(module), name)).serve_forever()
