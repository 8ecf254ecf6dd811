"""Where a session lives: the moves, in Redis and in memory."""
