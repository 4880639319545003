#!/usr/bin/env bash
# Create three sample tasks through the API. Those whose names are taken are left as they are.
# Usage: API_KEY=... [API_URL=...] [WEBHOOK_URL=...] scripts/seed.sh
# API_URL is http://127.0.0.1:3005/graphql if unset. Without a WEBHOOK_URL the tasks are INACTIVE
# and have the address of no channel: change it, then switch them on.
set -euo pipefail

api_url=${API_URL:-http://127.0.0.1:3005/graphql}
if [ -z "${API_KEY:-}" ]; then
    echo "Set API_KEY to an admin key of the API." >&2
    exit 2
fi
if [ -n "${WEBHOOK_URL:-}" ]; then
    webhook_url=$WEBHOOK_URL
    status=ACTIVE
else
    # As long as a real one, or it is refused.
    webhook_url=https://discord.com/api/webhooks/123456789012345678/example-example-example-example-example-example-example-example-
    status=INACTIVE
fi
if [[ ! $webhook_url =~ ^https?://[A-Za-z0-9._:/?=\&-]+$ ]]; then
    echo "WEBHOOK_URL isn't the URL of a webhook." >&2
    exit 2
fi

# create NAME SCHEDULE PAYLOAD, the last as JSON
create() {
    local answer
    # The key comes from a file, as an argument everybody could see it.
    answer=$(curl --silent --show-error --max-time 30 "$api_url" \
        --header @<(printf 'X-API-Key: %s\n' "$API_KEY") \
        --header 'Content-Type: application/json' --data @- <<JSON
{
  "query": "mutation (\$input: CreateTaskInput!) { createTask(input: \$input) { id } }",
  "variables": {"input": {
    "name": "$1", "schedule": "$2", "payload": $3, "status": "$status", "webhookUrl": "$webhook_url"
  }}
}
JSON
    )
    case $answer in
        *'"errors"'*'"CONFLICT"'*) echo "There is a task named $1; it is left as it is." ;;
        *'"errors"'* | '') echo "$1: ${answer:-no answer}" >&2 && return 1 ;;
        *'"createTask"'*) echo "Created $1." ;;
        *) echo "$1: $answer" >&2 && return 1 ;;
    esac
}

create "Sample: good morning" "0 9 * * MON-FRI" '{"content": "Good morning!"}'
create "Sample: weekly report" "0 17 * * FRI" '{
  "username": "Reports",
  "embeds": [{
    "title": "The week", "description": "All systems work.", "color": 5793266,
    "fields": [{"name": "Open", "value": "3", "inline": true}, {"name": "Done", "value": "12", "inline": true}]
  }]
}'
create "Sample: heartbeat" "*/5 * * * *" '{"content": "Still here.", "flags": 4096}'
