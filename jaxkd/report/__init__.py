"""The report of a run, as a page, as figures and as text."""
