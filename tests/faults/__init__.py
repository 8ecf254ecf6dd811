"""Ways to break what lies between a client and its server."""
