"""The command ``check``."""

from __future__ import annotations

from itertools import groupby

import click

from celery_inbox.cli.endings import NOTHING_TO_DO, REDIS_AWAY, end
from celery_inbox.cli.findings.of_broker import look_at_broker
from celery_inbox.cli.findings.of_server import look_at_server
from celery_inbox.cli.findings.of_settings import look_at_settings
from celery_inbox.cli.findings.of_workers import look_at_workers
from celery_inbox.cli.findings.report import Finding, Report, Section
from celery_inbox.cli.output import Output, shown
from celery_inbox.cli.selection import JSON, inboxes, one_of
from celery_inbox.errors import ConfigurationError, StorageUnavailable
from celery_inbox.inbox import Inbox

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@click.option("--inbox", "name", metavar="NAME", help="Only this inbox; otherwise all that the app has.")
@JSON
@click.pass_context
def check(context: click.Context, name: str | None, as_json: bool) -> None:
    """Is everything there that inboxes need?

    Starts nothing and writes nothing. Looks at: settings and handlers; Redis, its version, persistence and eviction
    policy; agreement on partitions and serializer; a live dispatcher for every partition and a live command worker
    (those that looked within lease + dispatch_interval seconds); the broker and its settings.

    Exits with 0 when there are no errors (warnings are allowed), 1 when there are, 3 when Redis is away.
    """
    app = context.obj.app
    found = inboxes(app)
    chosen = list(found.values()) if name is None else [one_of(found, name)]
    report = Report()
    for inbox in chosen:
        look_at(inbox, Section(report, inbox.name))
    look_at_broker(app, chosen, Section(report, None))
    if as_json:
        Output(as_json).json(
            {
                "healthy": report.is_healthy,
                "errors": report.errors,
                "warnings": report.warnings,
                "ok": report.passed,
            }
        )
    else:
        tell(report)
    if not report.is_healthy:
        end(REDIS_AWAY if report.redis_away else NOTHING_TO_DO)


def look_at(inbox: Inbox, section: Section) -> None:
    """Look at one inbox, as far as what was found lets one look."""
    if not look_at_settings(inbox, section):
        return
    try:
        store = inbox.open_store()
    except ConfigurationError as error:
        section.error("redis", str(error), "set inbox_redis_url")
        return
    try:
        if look_at_server(inbox, store, section):
            look_at_workers(inbox, store, section)
    except StorageUnavailable as error:
        section.error("redis", str(error), "see what this server lets its users do, and whether it is well")
    finally:
        store.link.close()


def tell(report: Report) -> None:
    """Print findings for people, inbox by inbox, the worst first."""
    levels = {"error": report.errors, "warning": report.warnings, "ok": report.passed}
    every = [(finding, level) for level, findings in levels.items() for finding in findings]
    every.sort(key=lambda each: (each[0].inbox is None, each[0].inbox or ""))
    for name, findings in groupby(every, key=lambda each: each[0].inbox):
        click.echo(f"inbox {name}" if name else "app")
        for finding, level in findings:
            tell_one(finding, level)
    click.echo(f"errors: {len(report.errors)}, warnings: {len(report.warnings)}")


def tell_one(finding: Finding, level: str) -> None:
    """Print one finding, with what to do."""
    click.echo(
        f"  {click.style(level.ljust(7), fg=COLOURS[level])}  {finding.subject.ljust(11)}  {shown(finding.found)}"
    )
    if finding.remedy:
        click.echo(f"  {'':7}  {'':11}  -> {shown(finding.remedy)}")
