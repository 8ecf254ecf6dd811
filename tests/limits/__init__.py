"""What holds at the limits: long sessions, many sessions, large bodies."""
