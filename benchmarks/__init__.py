"""Costs beside those of the peers, measured in the same run."""
