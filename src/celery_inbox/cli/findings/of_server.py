"""Is there a Redis, is it new enough, does it keep what it is given, do all processes agree on it?"""

from __future__ import annotations

from celery_inbox.bound import OLDEST_REDIS
from celery_inbox.cli.endings import address_of
from celery_inbox.cli.findings.report import Section
from celery_inbox.cli.selection import disagreements
from celery_inbox.errors import StorageUnavailable
from celery_inbox.inbox import Inbox
from celery_inbox.store import server
from celery_inbox.store.redis import RedisStore


def look_at_server(inbox: Inbox, store: RedisStore, section: Section) -> bool:
    """Report on Redis; False when it is away."""
    try:
        server.clock(store)
    except StorageUnavailable as error:
        section.report.redis_away = True
        section.error("redis", str(error), f"start Redis at {address_of(inbox)}, or set inbox_redis_url to where it is")
        return False
    section.ok("redis", f"{address_of(inbox)} answers")
    look_at_product(server.product(store), section)
    look_at_persistence(store, section)
    look_at_agreement(inbox, store, section)
    return True


def look_at_product(found: server.Server | None, section: Section) -> None:
    """Report on version and eviction policy."""
    if found is None:
        section.warn(
            "version", "Redis does not say its version", f"make sure that it is {dotted(OLDEST_REDIS)} or later"
        )
    elif found.version < OLDEST_REDIS:
        section.error(
            "version", f"Redis is {dotted(found.version)}, at least {dotted(OLDEST_REDIS)} is needed", "upgrade Redis"
        )
    else:
        section.ok("version", f"commands of Redis {dotted(found.version)}")
    policy = None if found is None else found.policy
    if policy is None:
        section.warn("eviction", "Redis does not say its maxmemory-policy", "make sure that it is noeviction")
    elif policy != "noeviction":
        section.error(
            "eviction",
            f"maxmemory-policy is {policy}: Redis may evict waiting messages",
            "set maxmemory-policy noeviction",
        )
    else:
        section.ok("eviction", "maxmemory-policy is noeviction")


def dotted(version: tuple[int, ...]) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))


def look_at_persistence(store: RedisStore, section: Section) -> None:
    """Report on what survives a restart."""
    kept = server.keeps_writes(store)
    if kept == "appendonly":
        section.ok("persistence", "appendonly is on")
    elif kept == "snapshots":
        section.warn(
            "persistence",
            "Redis keeps snapshots only: a restart loses what came since the last one",
            "set appendonly yes, appendfsync everysec",
        )
    elif kept == "no":
        section.warn(
            "persistence",
            "Redis keeps nothing on disk: a restart loses everything that waits",
            "set appendonly yes, appendfsync everysec",
        )
    else:
        section.warn("persistence", "Redis does not say whether it keeps its writes", "make sure of appendonly yes")


def look_at_agreement(inbox: Inbox, store: RedisStore, section: Section) -> None:
    """Report on partitions and serializer."""
    recorded = server.recorded(store)
    if "moving" in recorded:
        numbers = f"{recorded['partitions']} {recorded['moving']}"
        section.error(
            "agreement",
            f"a repartition from {recorded['partitions']} to {recorded['moving']} partitions is under way, or was "
            "interrupted: sends are refused, workers do not start",
            f"wait for it, or end it with: celery -A proj inbox repartition {numbers}",
        )
        return
    for disagreement in disagreements(inbox):
        section.error("agreement", disagreement, "give every process the recorded value")
        return
    if recorded:
        section.ok("agreement", f"partitions={inbox.settings.partitions}, serializer={inbox.settings.serializer}")
    else:
        section.ok("agreement", "nothing is recorded yet: the first send or worker does it")
