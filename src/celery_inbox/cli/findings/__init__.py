"""What ``check`` looks at: one file per thing that may be wrong."""
