#!/bin/sh
# Texts as vectors; without encoding_format, or with "float", they come as plain numbers.
curl --fail-with-body --silent --show-error http://127.0.0.1:5150/v1/embeddings \
  -H "Authorization: Bearer $INGOT_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"model": "demo-tiny", "input": ["a cat", "a dog"], "encoding_format": "float"}'
