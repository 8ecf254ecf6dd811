"""What ``docker inspect`` would say of a process."""

from typing import Any

from .ports import LOOPBACK
from .run import Run


def attributes(run: Run) -> dict[str, Any]:
    order = run.order
    status = run.status
    bindings = {inside: [{"HostIp": LOOPBACK, "HostPort": str(port)}] for inside, port in run.plan.ports.items()}
    return {
        "Id": order.id,
        "Name": f"/{order.name}",
        "State": {
            "Status": status,
            "Running": status == "running",
            "Pid": run.pid if status == "running" else 0,
            "ExitCode": run.exit_code or 0,
        },
        "Config": {
            "Hostname": _hostname(run),
            "Image": next(iter(order.image.tags), order.image.id),
            "Cmd": list(order.command),
            "Env": [f"{name}={value}" for name, value in {**order.image.env, **order.environment}.items()],
            "Labels": dict(order.labels),
        },
        "HostConfig": {"PortBindings": bindings},
        "NetworkSettings": {"Networks": {order.network: {"IPAddress": LOOPBACK}}, "Ports": bindings},
        "Mounts": [
            {"Type": "volume", "Name": path.name, "Source": str(path), "Destination": inside}
            for inside, path in order.binds.items()
        ],
    }


def _hostname(run: Run) -> str:
    """Return ``127.0.0.1:port`` for a server: pytest-celery builds its URL from the host name and the usual port."""
    for port in run.plan.ports.values():
        return f"{LOOPBACK}:{port}"
    return run.order.short_id
