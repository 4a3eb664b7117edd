"""The tree of random keys, in which every key of a run has a path of names.

A key is drawn from once, or split once, or folded with different numbers, and
never two of these, because `split(key, n)[i]` is `fold_in(key, i)` since jax
0.10. From the root, `jax.random.key(config.seed)`, a path leads to every key:

    TEACHER    HOLDOUT
    TEACHER    NETWORKS      stage  INITIAL
    TEACHER    NETWORKS      stage  EPOCHS   epoch
    SYNTHESIS  INITIAL
    SYNTHESIS  ROUNDS        round  phase    repeat
    STUDENT    INITIAL       seed
    STUDENT    EPOCHS        epoch
    HOLDOUT
    MEMBERS    NETWORKS      as for TEACHER
    MEMBERS    EXTRA_IMAGES  batch

A repeat's key is split for the method's `ask` and `tell` and for the student's
steps, an epoch's key for the order of the samples and for the steps.
"""

import enum

import jax

from jaxkd.types import Array


class Stream(enum.IntEnum):
  """The parts of a run that draw random numbers, folded into the root key."""

  TEACHER = 1  # training of the teacher and of its defence
  SYNTHESIS = 2  # the method's rounds
  STUDENT = 3
  HOLDOUT = 4  # choice of the samples that no student is trained on
  MEMBERS = 5  # networks of an ensemble, trained before the students
  PROBES = 6  # noise images for checks of the teacher, of the root key 0


class Purpose(enum.IntEnum):
  """What a stream draws random numbers for, folded into the stream's key."""

  INITIAL = 1  # initial weights, or the initial state of a method
  EPOCHS = 2
  ROUNDS = 3
  NETWORKS = 4
  HOLDOUT = 5  # choice of the images that no teacher is trained on
  EXTRA_IMAGES = 6  # images that an ensemble labels instead of the teacher


def fold(key: Array, *path: int) -> Array:
  """Returns the key at the end of `path`, whose numbers are folded in in order.

  Args:
    key: key at which the path starts.
    *path: numbers, e.g. a stream, a purpose and an index.
  """
  for number in path:
    key = jax.random.fold_in(key, number)
  return key
