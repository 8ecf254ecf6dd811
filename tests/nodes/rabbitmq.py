"""Launching RabbitMQ from the scripts of Debian's package."""

from pathlib import Path

from .order import Order, Plan
from .ports import LOOPBACK, FreePort

# Not /usr/sbin/rabbitmq-server: that one becomes another user and leaves our process group.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PORT = "5672/tcp"

# Left to itself the server would start a daemon that outlives it, shared with every other server of this machine.
WITH_OWN_PORT_MAPPER = 'epmd & until epmd -names >/dev/null 2>&1; do kill -0 $! || exit 1; done; exec "$@"'


class RabbitMQNotFoundError(FileNotFoundError):
    """Debian's package is not installed; nothing was started."""

    def __init__(self) -> None:
        super().__init__(f"no RabbitMQ found: {SERVER} comes with apt-get install rabbitmq-server")


def launch_rabbitmq(order: Order, free_port: FreePort) -> Plan:
    if not SERVER.exists():
        raise RabbitMQNotFoundError
    port = order.port(PORT, free_port)
    return Plan(
        argv=("/bin/sh", "-c", WITH_OWN_PORT_MAPPER, "sh", str(SERVER)),
        environment=_environment(order, port, free_port),
        ports={PORT: port},
        ready_line="Server startup complete",
    )


def _environment(order: Order, port: int, free_port: FreePort) -> dict[str, str]:
    home = str(order.home)
    return {
        "HOME": home,
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_CONF_ENV_FILE": f"{home}/rabbitmq-env.conf",
        "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_LOG_BASE": f"{home}/logs",
        "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
        "RABBITMQ_NODENAME": f"node-{order.short_id}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_PID_FILE": f"{home}/pid",
    }
