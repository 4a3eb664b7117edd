"""The peak memory of a run."""

import resource
import sys

import jax


def peak_bytes() -> int:
  """Returns the peak memory since the process began, in bytes.

  It is the largest peak of the local devices or, where devices do not report
  one (the CPU), the peak resident memory of the process.
  """
  peak = max(map(_peak_of, jax.local_devices()))
  if peak:
    return peak
  resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return resident * (1 if sys.platform == "darwin" else 1024)


def memory_scope() -> str:
  """Returns whose memory `peak_bytes` measures, `device` or `process`."""
  return "device" if any(map(_peak_of, jax.local_devices())) else "process"


def _peak_of(device: jax.Device) -> int:
  return (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
