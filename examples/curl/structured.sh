#!/bin/sh
# An answer that fits a JSON schema.
curl --fail-with-body --silent --show-error http://127.0.0.1:5150/v1/chat/completions \
  -H "Authorization: Bearer $INGOT_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "demo-tiny",
    "messages": [{"role": "user", "content": "Anna is 31 years old."}],
    "response_format": {
      "type": "json_schema",
      "json_schema": {
        "name": "person",
        "strict": true,
        "schema": {
          "type": "object",
          "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer"}
          },
          "required": ["name", "age"],
          "additionalProperties": false
        }
      }
    }
  }'
