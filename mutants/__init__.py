"""The library broken on purpose, once for each thing that it must do: every mutant is killed by a test."""
