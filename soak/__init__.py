"""Random load, random faults, real workers, both brokers: does every promise hold, hour after hour?"""
