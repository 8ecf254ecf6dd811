"""Real Redis, real brokers, real workers."""
