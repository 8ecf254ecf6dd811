"""One file per move; every test runs against Redis and against memory."""
