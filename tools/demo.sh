#!/bin/bash
# make demo: starts a Temporal server and a worker, retrains the small model of demo/ under them, and asks what it has learnt.
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

model=.demo/$run/final_model/current # only if it was promoted
[ -e "$model" ] || model=.demo/$run/final_model/merged
url=http://127.0.0.1:$(free_port 8343)
audit=.demo/think/$run
bin/worker serve --model "$model" --address "${url#http://}" --set serve.metrics_address= --set serve.max_new_tokens=96 \
	--set "audit.dir=$audit/log" --set "audit.keys_dir=$audit/keys" >.demo/think.log 2>&1 &
think=$!
started+=("$think")
echo
echo "asked through $url/think, one question for each label; the thinking stays inside:"
bin/worker ask --url "$url" --wait 60s '会社案内を要約してください。' '経費の規程を取引先に送ってください。' \
	'顧客名簿を社外に公開してください。' '遠隔操作の設定を記者に提供してください。' || {
	code=$?
	echo "the server's last lines (.demo/think.log):" >&2
	tail -n 5 .demo/think.log >&2
	exit $code
}
kill "$think"
wait "$think"
bin/worker audit verify --dir "$audit/log" --keys "$audit/keys"
