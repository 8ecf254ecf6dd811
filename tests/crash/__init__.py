"""One file per disaster: real workers and real servers are killed, cut off, flushed and frozen."""
