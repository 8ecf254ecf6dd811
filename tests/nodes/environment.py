"""The environment and the working directory of a container's processes."""

import os
import sys
from pathlib import Path

from .binds import resolve, rewrite
from .order import Order, Plan

NOT_INHERITED = ("CELERY_", "PYTEST_")


def environment(order: Order, plan: Plan) -> dict[str, str]:
    """Merge this process's variables, the image's, the order's and the plan's; later ones win."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    asked = {name: rewrite(value, order.binds) for name, value in {**order.image.env, **order.environment}.items()}
    merged = {**inherited, **asked, **plan.environment}
    merged["PATH"] = _joined(str(Path(sys.executable).parent), merged.get("PATH"))
    if "PYTHONPATH" in asked and "PYTHONPATH" in inherited:
        merged["PYTHONPATH"] = _joined(asked["PYTHONPATH"], inherited["PYTHONPATH"])
    return merged


def working_directory(order: Order) -> Path:
    wanted = resolve(order.working_directory, order.binds) if order.working_directory else None
    return wanted or next(iter(order.binds.values()), order.home)


def _joined(*paths: str | None) -> str:
    return os.pathsep.join(path for path in paths if path)
