#!/bin/sh
# A question and its answer.
curl --fail-with-body --silent --show-error http://127.0.0.1:5150/v1/chat/completions \
  -H "Authorization: Bearer $INGOT_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "demo-tiny",
    "messages": [{"role": "user", "content": "Hello! What is this server?"}]
  }'
