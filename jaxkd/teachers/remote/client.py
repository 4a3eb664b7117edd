"""The HTTP client, with proxies and certificates that the environment names."""

import os
from urllib.request import getproxies, proxy_bypass

import httpx

from jaxkd.errors import JaxkdError
from jaxkd.teachers.remote import urls

_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def new_client(url: httpx.URL, connections: int) -> httpx.Client:
  """Returns a client; one of this machine itself goes past the proxies.

  Raises:
    JaxkdError: if there is a proxy that can't be used, or certificates that
      can't be read.
  """
  # Servers close idle connections after 5 seconds or more; a request that meets
  # such an end is lost, and may have been billed.
  limits = httpx.Limits(max_connections=connections, keepalive_expiry=2.0)
  try:
    if urls.is_loopback(url):
      return httpx.Client(transport=httpx.HTTPTransport(limits=limits))
    return httpx.Client(limits=limits)
  except OSError as error:
    raise JaxkdError(
      f"The certificates in {_set_variables(_CERTIFICATES)} can't be read "
      f"({error.strerror or error}); correct it, or unset it."
    ) from None
  except (ImportError, ValueError, httpx.InvalidURL) as error:
    package = (
      "needs the package socksio (pip install 'httpx[socks]')"
      if isinstance(error, ImportError)
      else f"is not a proxy's address ({error})"
    )
    raise JaxkdError(
      f"The proxy in {_set_variables(_PROXIES)} {package}; install or correct "
      f"it, or set NO_PROXY={url.host} to reach the server without."
    ) from None


def via_proxy(url: httpx.URL) -> str:
  """Says in words which proxy leads to a url; empty if none does.

  >>> via_proxy(httpx.URL("http://127.0.0.1:8000"))
  ''
  """
  proxies = getproxies()
  direct = urls.is_loopback(url) or proxy_bypass(url.host)
  if direct or not (proxies.get(url.scheme) or proxies.get("all")):
    return ""
  return f" through the proxy in {_set_variables(_PROXIES[:3])}"


def describe_loss(error: httpx.HTTPError, timeout_s: float) -> str:
  """Says in words why there is no reply to a request of so many seconds."""
  if isinstance(error, httpx.TimeoutException):
    return (
      f"no whole reply within {timeout_s:.3g} s ({type(error).__name__}), the "
      "time of one attempt; queries.deadline_s is three times as long"
    )
  return f"connection lost ({type(error).__name__})"


def _set_variables(names: tuple[str, ...]) -> str:
  set_names = [
    n for n in names if os.environ.get(n) or os.environ.get(n.lower())
  ]
  return " or ".join(set_names) or "the environment"
