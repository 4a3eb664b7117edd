"""The colour model of procedural images, for 1 to 4 channels.

A colour is a lightness, a hue and a saturation. The lightness is a point of the
grey diagonal; the hue is a direction at right angles to it; a saturation of 1
is as far in this direction as pixels in [0, 1] allow. All channels are treated
alike, because nothing is known of them: with one channel there are greys only,
with two a hue is one of two directions, with three a point of a circle, with
four a point of a sphere (the fourth channel is no transparency).

Every image has a saturation of its own, which bounds those of its colours: a
quarter of the images are nearly grey, the others have any saturation.
"""

import jax
import jax.numpy as jnp

from jaxkd.synthesis.priors import apply_tone, random_tones
from jaxkd.synthesis.procedural.noise import near_normal
from jaxkd.types import Array

_GREY_SHARE, _NEARLY_GREY = 0.25, 0.1


def image_saturation(u: Array) -> Array:
  """Maps a uniform number to the saturation of an image, both in [0, 1)."""
  vivid = (u - _GREY_SHARE) / (1 - _GREY_SHARE)
  return jnp.where(u < _GREY_SHARE, u / _GREY_SHARE * _NEARLY_GREY, vivid)


def random_hues(key: Array, count: int, channels: int) -> Array:
  """Draws unit vectors `[count, C]` at right angles to grey; 0 if C is 1."""
  hues = near_normal(key, count, channels)
  hues = hues - hues.mean(1, keepdims=True)
  length = jnp.sqrt(jnp.square(hues).sum(1, keepdims=True))
  return hues / jnp.maximum(length, 1e-6)


def random_colors(
  key: Array, count: int, channels: int, darkest: float = 0.0
) -> Array:
  """Draws the colours `[count, C]` of one image, each with a hue of its own.

  Args:
    key: key of these colours.
    count: number of colours.
    channels: C.
    darkest: the least lightness.
  """
  key, hue_key = jax.random.split(key)
  uniform = jax.random.uniform(key, (1 + 2 * count,))
  lightness, share = uniform[1:].reshape(2, count, 1)
  lightness = darkest + (1 - darkest) * lightness
  hues = random_hues(hue_key, count, channels)
  up = (1 - lightness) / jnp.maximum(hues.max(1, keepdims=True), 1e-6)
  down = lightness / jnp.maximum(-hues.min(1, keepdims=True), 1e-6)
  saturation = image_saturation(uniform[0]) * jnp.sqrt(share)
  return lightness + saturation * jnp.minimum(up, down) * hues


def color_fields(
  key: Array, lightness: Array, chroma: Array, channels: int
) -> Array:
  """Gives two fields `[H, W]` colours and a random tone.

  With saturation s and three random hues u, v, w, the pre-activation of an
  image is lightness (1 + s u) + s (chroma v + w): a grey field coloured along a
  random direction about a base colour, crossed by a second one.

  Returns:
    Planes `[C, H, W]` in (0, 1).
  """
  key, tone_key = jax.random.split(key)
  planes = jax.nn.standardize(lightness, (0, 1), epsilon=1e-8)[None]
  if channels > 1:
    image_key, hue_key = jax.random.split(key)
    hues = random_hues(hue_key, 3, channels)[..., None, None]
    saturation = image_saturation(jax.random.uniform(image_key))
    along, across, base = hues * saturation * channels**0.5
    chroma = jax.nn.standardize(chroma, (0, 1), epsilon=1e-8)
    planes = planes * (1 + along) + chroma * across + base
  return apply_tone(planes[None], random_tones(tone_key, 1))[0]
