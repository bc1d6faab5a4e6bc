#!/bin/sh
# Which models there are.
curl --fail-with-body --silent --show-error http://127.0.0.1:5150/v1/models \
  -H "Authorization: Bearer $INGOT_API_KEY"
