"""README and docs, taken at their word."""
