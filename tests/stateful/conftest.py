"""How many histories: ``--hypothesis-profile nightly`` for many, ``ci`` unless named."""

from hypothesis import HealthCheck, settings

UNHURRIED = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)

settings.register_profile("ci", UNHURRIED, max_examples=300, stateful_step_count=40)
settings.register_profile("nightly", UNHURRIED, max_examples=10_000, stateful_step_count=80)
