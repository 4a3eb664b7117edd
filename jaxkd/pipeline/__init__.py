"""A run, from its config to the report."""
