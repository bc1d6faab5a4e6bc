#!/bin/sh
# An organization of two people runs out of credit, is refused, is topped up, and is answered again.
# For a server that was started with: ingot serve --config examples/priced.toml
set -eu
url=http://127.0.0.1:5150/v1/chat/completions
run=$(date +%s)-$$ # what makes the names new each time

ask() { # prints the status of the answer, which is left in the file answer.json
  curl --silent --show-error --output answer.json --write-out '%{http_code}' "$url" \
    -H "Authorization: Bearer $key" \
    -H "Content-Type: application/json" \
    -d '{"model": "priced", "max_tokens": 32, "messages": [{"role": "user", "content": "Hello!"}]}'
}

for person in ada bob; do
  echo "a long and secret phrase" | ingot users create "$person-$run@example.org" --password-stdin
done
ingot plans create "team-$run" --rpm 600 --keys 5 > /dev/null
org=$(ingot orgs create --name "Engines $run" --owner "ada-$run@example.org" --plan "team-$run")
ingot members add "$org" "bob-$run@example.org" --role member
key=$(ingot keys create --name app --org "$org" --user "bob-$run@example.org")

# A promo code is the first credit. A call needs as much as it could cost at most.
code=$(ingot promo create --amount 0.05 --expires 30d --most-uses 1)
ingot promo redeem "$code" --org "$org"

status=$(ask)
while [ "$status" = 200 ]; do
  echo "answered"
  status=$(ask)
done
echo "refused with $status:"
cat answer.json && echo

# The same reference again would count once: a payment cannot be booked twice.
ingot credits add --org "$org" --amount 5 --reference "payment-$run"
echo "after the top-up: $(ask)"
cat answer.json && echo

ingot credits show --org "$org"
ingot ledger verify
