"""What the address of a Redis says: where it is, and which form it has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import quote, unquote, urlencode, urlsplit

from redis.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.exceptions import RedisError

from celery_inbox.errors import ConfigurationError

Form: TypeAlias = Literal["server", "sentinel", "cluster"]

FORMS: dict[str, Form] = {
    "redis": "server",
    "rediss": "server",
    "unix": "server",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
SET = "set inbox_redis_url to redis://, rediss:// or unix://, or to redis+sentinel:// or redis+cluster://"
PORTS: dict[Form, int] = {"sentinel": 26379, "cluster": 6379}
SENTINEL_USER = ("username", "password")
PASSWORDS = re.compile(r"(://[^:@/;,]*):[^@/;]*@|(password=)[^&;]*")


@dataclass(frozen=True, slots=True)
class Place:
    """An address, taken apart."""

    form: Form
    hosts: tuple[tuple[str, int], ...] = ()
    """Of the Sentinels, or of some nodes of the cluster; one server's are in its options."""
    service: str = ""
    """What Sentinel calls the primary."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of connections to the server, the primary or the nodes, as redis-py names them."""
    of_sentinels: dict[str, Any] = field(default_factory=dict)
    """Of connections to the Sentinels."""


def redis_url(url: Any, transport_options: Mapping[str, Any] | None = None) -> str:
    """Turn a setting or a broker URL into an address that ``place`` reads.

    Args:
        url: One, or what Celery takes for several.
        transport_options: ``broker_transport_options``, which name the primary of a ``sentinel://`` broker.

    Raises:
        ConfigurationError: It is no address of a Redis; the error holds no part of it that may be a password.
    """
    given = url[0] if isinstance(url, (list, tuple)) and url else url
    if not isinstance(given, str):
        raise ConfigurationError(f"sessions live in Redis and its address is {type(given).__name__}, not text: {SET}")
    first = given.split(";")[0]
    if first.startswith("sentinel://"):
        every = [given] if isinstance(url, str) else url
        first = _of_kombu([part for each in every for part in each.split(";")], transport_options or {})
    if first.startswith("redis+socket://"):
        path, _, query = first.removeprefix("redis+socket://").partition("?")
        first = f"unix://{path}" + (f"?{query.replace('virtual_host=', 'db=')}" if query else "")
    scheme, found, _ = first.partition("://")
    if not found or scheme not in FORMS:
        raise ConfigurationError(
            f"sessions live in Redis and the address begins with {scheme + found if found else 'no scheme'!r}: {SET}"
        )
    try:
        place(first)
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigurationError(f"inbox_redis_url or broker_url is no address of a Redis: {error}") from error
    return first


def _of_kombu(urls: list[str], options: Mapping[str, Any]) -> str:
    """``sentinel://:secret@one:26379/0;sentinel://two:26379`` with ``master_name`` in the options, as one address."""
    service = options.get("master_name")
    if not service:
        raise ConfigurationError(
            "a sentinel:// address does not name its primary: set master_name in broker_transport_options, "
            "or inbox_redis_url to redis+sentinel://host:26379,host2:26379/<primary>"
        )
    parts = [urlsplit(each.strip()) for each in urls]
    user, at, _ = parts[0].netloc.rpartition("@")
    hosts = ",".join(part.netloc.rpartition("@")[2] for part in parts)
    of_sentinels = options.get("sentinel_kwargs") or {}
    query = urlencode({f"sentinel_{key}": of_sentinels[key] for key in SENTINEL_USER if of_sentinels.get(key)})
    database = next((part.path.strip("/") for part in parts if part.path.strip("/")), "0")
    return f"redis+sentinel://{user}{at}{hosts}/{quote(service, safe='')}/{database}{'?' * bool(query)}{query}"


def refuse_cluster(broker_url: Any) -> None:
    """Say that no broker is a cluster.

    Raises:
        ConfigurationError: This one would be.
    """
    first = str(broker_url if isinstance(broker_url, str) or not broker_url else broker_url[0])
    if FORMS.get(first.partition("://")[0]) == "cluster":
        raise ConfigurationError(
            "Celery has no broker in a Redis Cluster: set broker_url to a Redis of its own or to RabbitMQ, "
            "and inbox_redis_url to the cluster, where the sessions live"
        )


def place(url: str) -> Place:
    """Take an address apart.

    Raises:
        ValueError: It cannot be; says why.
    """
    scheme = url.partition("://")[0]
    form = FORMS[scheme]
    if form == "server":
        ConnectionPool.from_url(url).make_connection()
        number = "" if scheme == "unix" else urlsplit(url).path.strip("/")
        if number and not number.isdecimal():
            # redis-py would take the first one in its place.
            raise ValueError(f"its database is {number!r}, not a number")
        return Place(form, options=parse_url(url))
    split = urlsplit(url)
    base = f"{scheme.partition('+')[0]}://"
    user, at, hosts = split.netloc.rpartition("@")
    named = [parse_url(f"{base}{host}") for host in hosts.split(",")]
    if not all(each.get("host") for each in named):
        raise ValueError(f"{without_password(url)} names no host")
    found = tuple((each["host"], each.get("port", PORTS[form])) for each in named)
    service, database = _path(scheme, form, [unquote(each) for each in split.path.split("/") if each])
    options, of_sentinels = _options(f"{base}{user}{at}{hosts.split(',')[0]}?{split.query}")
    return Place(form, found, service, options | ({"db": database} if database else {}), of_sentinels)


def _path(scheme: str, form: Form, path: list[str]) -> tuple[str, int]:
    """Read the name of the primary and the number of the database from behind the hosts."""
    if form == "cluster":
        if path not in ([], ["0"]):
            raise ValueError(f"{scheme}:// has no database but 0")
        return "", 0
    service, database, *rest = [*path, "0"] if len(path) == 1 else [*path, "", ""]
    if not service or not database.isdigit() or any(rest):
        raise ValueError(
            f"{scheme}:// names its primary, and perhaps a database, after its hosts: {scheme}://host,host2/primary/0"
        )
    return service, int(database)


def _options(url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a URL says of the connections to the servers, and of those to Sentinels."""
    options = {name: value for name, value in parse_url(url).items() if name not in ("host", "port", "db")}
    of_sentinels = {
        name.removeprefix("sentinel_"): options.pop(name) for name in list(options) if name.startswith("sentinel_")
    }
    kind = options.pop("connection_class", Connection)
    for each in (options, of_sentinels):
        ConnectionPool(connection_class=kind, **each).make_connection()
    if kind is SSLConnection:
        options["ssl"] = True
        of_sentinels.update({name: value for name, value in options.items() if name.startswith("ssl")})
    return options, of_sentinels


def without_password(url: Any) -> str:
    """An address as it may be shown."""
    text = url if isinstance(url, str) else ";".join(map(str, url))
    return PASSWORDS.sub(lambda found: f"{found[1]}:**@" if found[1] else f"{found[2]}**", text)
