"""The tree of random keys: what each key of a run is for, by name.

A key is drawn from once, or split once, or folded with different numbers, and
never two of these: `split(key, n)[i]` is `fold_in(key, i)` since jax 0.10. From
the root, `jax.random.key(config.seed)`, a path leads to every key:

    TEACHER    HOLDOUT
    TEACHER    NETWORKS  stage  INITIAL
    TEACHER    NETWORKS  stage  EPOCHS   epoch
    SYNTHESIS  INITIAL
    SYNTHESIS  ROUNDS    round  phase    repeat
    STUDENT    INITIAL   seed
    STUDENT    EPOCHS    epoch
    HOLDOUT
    MEMBERS    NETWORKS  as for TEACHER
    MEMBERS    EXTRA_IMAGES        batch

A repeat's key is split for the method's `ask` and `tell` and the student's
steps, an epoch's for the order of the samples and for its steps.
"""

import enum

import jax

from jaxkd.types import Array


class Stream(enum.IntEnum):
  """The parts of a run that draw, folded into the root."""

  TEACHER = 1  # networks of the teacher's owner
  SYNTHESIS = 2  # the method's rounds
  STUDENT = 3
  HOLDOUT = 4  # samples that no student is trained on
  MEMBERS = 5  # networks that are trained before the students
  PROBES = 6  # noise that a teacher is examined with, of root 0


class Purpose(enum.IntEnum):
  """What a part draws for, folded into its stream."""

  INITIAL = 1  # weights, or a method's state, before the first step
  EPOCHS = 2
  ROUNDS = 3
  NETWORKS = 4
  HOLDOUT = 5  # the owner's images that no teacher is trained on
  EXTRA_IMAGES = 6  # images that an ensemble labels in the teacher's place


def fold(key: Array, *path: int) -> Array:
  """The key at the end of `path`, whose numbers are folded in one by one."""
  for number in path:
    key = jax.random.fold_in(key, number)
  return key
