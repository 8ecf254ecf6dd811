"""The apps of the workers: each module here is copied into a worker's directory as its ``app.py``."""
