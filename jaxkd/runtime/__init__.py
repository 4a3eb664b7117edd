"""Devices, processes, folders, files and records of a run."""
