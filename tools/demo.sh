#!/bin/bash
# make demo: starts a Temporal server and a worker, retrains the small model of demo/ under them, and stops both.
# Everything it writes is under .demo/.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .demo

free_port() { # prints the first free port from $1 on
	local port=$1
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
	echo "$port"
}
port=$(free_port 7243)
ui=$(free_port 8243)
export TEMPORAL_ADDRESS=127.0.0.1:$port TEMPORAL_NAMESPACE=default
run=demo-$(date +%Y%m%d-%H%M%S)
started=()
stop() {
	for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
}
trap stop EXIT

bin/temporal server start-dev --ip 127.0.0.1 --port "$port" --ui-port "$ui" --db-filename .demo/temporal.db \
	--log-level warn >.demo/server.log 2>&1 &
started+=($!)
for _ in $(seq 300); do
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
	kill -0 "${started[0]}" 2>/dev/null || { echo "the Temporal server did not start:" >&2; tail -n 5 .demo/server.log >&2; exit 1; }
	sleep 0.1
done
bin/worker >.demo/worker.log 2>&1 &
started+=($!)

echo "Temporal Web UI: http://127.0.0.1:$ui/namespaces/default/workflows/$run"
bin/worker start --config configs/demo.yaml --output ".demo/$run" --workflow-id "$run" || {
	code=$?
	echo "the worker's last lines (.demo/worker.log):" >&2
	tail -n 5 .demo/worker.log >&2
	exit $code
}
