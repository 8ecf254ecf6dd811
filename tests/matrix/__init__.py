"""One scenario on every combination of broker, pool, server and versions that is supported."""
