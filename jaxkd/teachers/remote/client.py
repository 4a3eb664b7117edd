"""The HTTP client, with the proxies that the environment names."""

import os

import httpx

from jaxkd.errors import JaxkdError
from jaxkd.teachers.remote import urls


def new_client(url: httpx.URL, connections: int) -> httpx.Client:
  """Returns a client; one of this machine itself goes past the proxies.

  Raises:
    JaxkdError: if there is one that can't be used.
  """
  # Servers close idle connections after 5 seconds or more; a request that meets
  # such an end is lost, and may have been billed.
  limits = httpx.Limits(max_connections=connections, keepalive_expiry=2.0)
  if urls.is_loopback(url):
    return httpx.Client(transport=httpx.HTTPTransport(limits=limits))
  try:
    return httpx.Client(limits=limits)
  except (ImportError, ValueError, httpx.InvalidURL) as error:
    variables = [
      name
      for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
      if os.environ.get(name) or os.environ.get(name.lower())
    ]
    package = (
      "needs the package socksio (pip install 'httpx[socks]')"
      if isinstance(error, ImportError)
      else "is not a proxy's address"
    )
    raise JaxkdError(
      f"The proxy in {' or '.join(variables)} {package}; install or correct "
      f"it, or set NO_PROXY={url.host} to reach the server without."
    ) from None
