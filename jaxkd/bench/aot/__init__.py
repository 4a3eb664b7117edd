"""Programs of a run, compiled for accelerators that are not there."""
