"""Sessions in a Redis Cluster, and behind Sentinel."""
