"""What happened: signals, and the log lines made from them."""
