#!/bin/sh
# The answer as it is written: server-sent events, the last one says [DONE].
curl --fail-with-body --silent --show-error --no-buffer http://127.0.0.1:5150/v1/chat/completions \
  -H "Authorization: Bearer $INGOT_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "demo-tiny",
    "messages": [{"role": "user", "content": "Count from one to five."}],
    "stream": true,
    "stream_options": {"include_usage": true}
  }'
