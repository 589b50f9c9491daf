#!/bin/sh
# Creates or updates the namespace and the search attributes that runs set. It runs in temporalio/admin-tools, with client.env
# and namespace.env, at every start.
set -eu

tries=0
until temporal operator cluster health >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ "$tries" -lt 120 ] || { echo "no Temporal server answers at $TEMPORAL_ADDRESS" >&2; exit 1; }
	sleep 0.5
done

if temporal operator namespace describe >/dev/null 2>&1; then
	temporal operator namespace update --retention "$NAMESPACE_RETENTION"
else
	temporal operator namespace create --retention "$NAMESPACE_RETENTION"
fi

# All parts of the server know a new namespace only after a moment.
tries=0
for name in $(echo "$SEARCH_ATTRIBUTES" | tr , ' '); do
	until temporal operator search-attribute create --name "$name" --type Keyword; do
		tries=$((tries + 1))
		[ "$tries" -lt 60 ] || exit 1
		sleep 0.5
	done
done
