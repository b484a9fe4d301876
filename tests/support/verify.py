"""Verifies signatures with the reference library: one JSON object per line of stdin, one verdict per line of stdout."""

import base64
import json
import sys

from standardwebhooks import Webhook

for line in sys.stdin:
    case = json.loads(line)
    body = base64.b64decode(case["body"])
    try:
        Webhook(case["secret"]).verify(body, case["headers"], json_parse=False)
        print("good")
    except Exception as error:
        print(f"bad: {error!r}")
