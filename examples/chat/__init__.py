"""A chat bot that answers bursts, not lines."""
