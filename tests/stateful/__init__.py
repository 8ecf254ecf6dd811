"""Random histories that both stores go through."""
