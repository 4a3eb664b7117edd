"""A classifier behind an HTTP interface; the command is `jaxkd.serve`."""
