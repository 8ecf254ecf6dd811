"""The app that producers and workers of a measurement share: one no-op handler per peer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery_batches import Batches

from benchmarks.tally import Tally
from celery_inbox import Batch, Inbox

MAX_BATCH = 100
BODY = {"text": "the build is green again, shall we go on?", "from": 4211}

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)
tally = Tally(Path(os.environ["BENCH_TALLY"]))
inbox = Inbox(app, "bench", debounce=float(os.environ["BENCH_DEBOUNCE"]), max_batch=MAX_BATCH)


@inbox.handler(name="bench.batch")
def batch(batch: Batch) -> None:
    tally.add(len(batch))


@app.task(name="bench.each", queue="each")  # type: ignore[untyped-decorator]
def each(session: str, body: dict[str, Any]) -> None:
    tally.add(1)


# Its two settings nearest to ours: as many messages as our batches may have, as long a wait as our debounce.
@app.task(  # type: ignore[untyped-decorator]
    name="bench.together",
    queue="together",
    base=Batches,
    flush_every=MAX_BATCH,
    flush_interval=max(float(os.environ["BENCH_DEBOUNCE"]), 0.1),
)
def together(requests: list[Any]) -> None:
    tally.add(len(requests))
