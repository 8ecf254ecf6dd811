"""What the soak tells its workers, by one environment variable."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

VARIABLE = "SOAK"


@dataclass(frozen=True, slots=True)
class Told:
    """One side: a broker, an inbox, where to write down what handlers do."""

    name: str
    """Of the inbox."""
    broker: str
    history: str
    commits: str
    settings: dict[str, Any]
    handler: dict[str, Any]

    def environment(self) -> dict[str, str]:
        """Variables for a worker."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def read(cls) -> "Told":
        """What this worker was told."""
        return cls(**json.loads(os.environ[VARIABLE]))
