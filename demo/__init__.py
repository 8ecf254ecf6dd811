"""``make demo``: an hour of chat in a minute, through real workers, with a report at the end."""
