"""Words of servers that tell a limit, and words that only look like it.

A wrong guess makes a request free that may have been billed, so the second kind
matters as much as the first.
"""

import pytest

from jaxkd.teachers.remote.outcomes import of_status

TOO_LARGE = (
  (
    "400 1 validation error detected: Value at 'body' failed to "
    "satisfy constraint: Member must have length less than or equal to "
    "6291456"
  ),
  "400 Request payload size exceeds the limit: 10485760 bytes.",
  "400 The request size (3000000 bytes) exceeds 1.500MB limit.",
  (
    "400 [request id: <id_unknown>] inference request batch-size must "
    "be <= 8 for 'net'"
  ),
  "400 Task size 64 is larger than maximum input batch size 32",
  "400 Invalid batch size: 64. Max allowed is 16",
  "400 Number of instances (64) exceeds the limit of 16",
  (
    '422 {"detail":[{"loc":["body","instances"],"msg":"ensure this '
    'value has at most 8 items","type":"value_error.list.max_items",'
    '"ctx":{"limit_value":8}}]}'
  ),
  (
    '422 {"detail":[{"type":"too_long","loc":["body","instances"],'
    '"msg":"List should have at most 8 items after validation, not 64",'
    '"input":[]}]}'
  ),
  "400 Too many instances in the request: 64 (limit 32)",
  "400 request body too large",
  "400 http: request body too large",
  "400 grpc: received message larger than max (5000000 vs. 4194304)",
  (
    "400 RESOURCE_EXHAUSTED: Received message larger than max (5000000 "
    "vs. 4194304)"
  ),
  (
    "400 Failed to process the request(s): batch_size 64 exceeds "
    "max_batch_size 8"
  ),
  "400 Message length exceeds the maximum of 1048576 bytes",
  "400 Maximum request length exceeded.",
  "400 Payload exceeds maximum allowed size",
  (
    '400 {"error":{"code":400,"message":"Request exceeds maximum size '
    'of 1.5 MB","status":"INVALID_ARGUMENT"}}'
  ),
  "400 Content length exceeded 1048576 bytes",
  "400 entity too large",
  "400 You can only send up to 10 images per call",
  "400 The maximum number of images is 16",
  "400 Array must contain at most 8 element(s)",
  "400 instances: must have at most 16 elements",
  "400 maxItems: 16",
  "400 Expected at most 16 rows, got 64",
  "400 batch too big",
  "400 Only 1 image per request is supported",
  "400 Single image only: expected batch size 1, got 64",
  "400 shape mismatch: expected batch of 1",
  "400 Batch size 64 not supported, max is 4",
  "400 input size 64 exceeds maximum 8",
  (
    "400 Lambda: Request must be smaller than 6291456 bytes for the "
    "InvokeFunction operation"
  ),
  "400 RequestEntityTooLargeException",
)
BUSY = (
  '400 {"__type":"ThrottlingException","message":"Rate exceeded"}',
  '400 {"__type":"ProvisionedThroughputExceededException"}',
  '400 {"__type":"LimitExceededException"}',
  '400 {"__type":"RequestLimitExceeded"}',
  '400 {"__type":"ServiceUnavailableException"}',
  '400 {"__type":"ServiceQuotaExceededException"}',
  (
    '400 {"__type":"ModelNotReadyException","message":"Model is not '
    'ready for inference"}'
  ),
  '403 {"error":{"errors":[{"reason":"userRateLimitExceeded"}]}}',
  "403 Quota exceeded for quota metric 'Online prediction requests'",
  "403 Exceeded rate limit; please wait",
  "400 Request was throttled. Expected available in 5 seconds.",
  "400 Exceeds maximum queue size",
  "400 queue is full",
  "400 Server overloaded, please try later",
  "400 Server is busy",
  "400 server too busy",
  "400 Please try again later.",
  "400 Please retry in 10 seconds",
  "400 The model is currently loading",
  "404 Model is loading, come back soon",
  "400 Loading model, please wait",
  "400 Model still loading",
  "400 Request for unknown model: 'net' has no available versions",
  "400 Model net with version v1 is not ready yet.",
  "400 container is being started",
  "400 The endpoint is scaled to zero, waking up",
  "404 deployment is starting up",
  "400 Endpoint is paused, resuming",
  "400 Model is in state UNAVAILABLE",
  "400 You have exceeded your requests per minute",
  "400 Too many concurrent requests",
  "400 concurrency limit exceeded",
  "400 QPS limit reached",
  "400 Requests per second limit exceeded",
  "400 API calls quota exceeded! maximum admitted 2 per Second.",
  "400 capacity exceeded, retry",
  "400 No healthy upstream",
  "400 no worker available to serve inference request",
)
NEITHER = (
  "400 Error loading image 3",
  "400 Could not start processing: invalid image",
  "400 input has wrong shape: expected [28,28,1], got [28,28,3]",
  "400 value at [0][3] exceeds maximum 255",
  "400 pixel value larger than max 1.0",
  "400 invalid batch",
  "400 data type mismatch",
  (
    "400 The model failed while starting the inference of image 3: "
    "division by zero"
  ),
  '422 {"detail":[{"loc":["body","inputs"],"msg":"field required"}]}',
  "400 Missing request body",
  "400 unexpected inference output",
  "400 maximum recursion depth exceeded",
  "400 batch 3 of 8 failed after inference, more than one label",
  "409 conflict",
  "402 Payment required",
  "403 Access denied",
  "404 Requested model 'net' is not found",
  "401 token expired, try again with another",
  "403 account limit: contact sales",
  "400 RESOURCE_EXHAUSTED: OOM when allocating tensor with shape [64]",
)


@pytest.mark.parametrize(
  ("words", "names"),
  [
    *((words, ("too_large",)) for words in TOO_LARGE),
    *((words, ("says_busy",)) for words in BUSY),
    *((words, ("other", "refused")) for words in NEITHER),
  ],
)
def test_what_servers_say(words, names):
  status, _, text = words.partition(" ")
  assert of_status(int(status), text).name in names
