"""Devices, processes, folders, files, records and random keys of a run."""
