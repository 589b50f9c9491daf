#!/bin/bash
# make against FROM=revision: this tree against an earlier commit, on this machine: whether a run gives the same bytes, whether
# this worker finishes a run that the earlier one began, and the speed of training, split, evaluation and save by turns.
# Everything it writes is under .against/.
set -euo pipefail
cd "$(dirname "$0")/.."
from=${1:?a revision}
rounds=${ROUNDS:-8}
here=$PWD
work=$here/.against
old=$work/from
mkdir -p "$work"

build() { # the earlier commit, with this tree's Temporal CLI
	git worktree prune
	[ -e "$old" ] || git worktree add -q --detach "$old" "$from"
	git -C "$old" checkout -q --detach "$from"
	make -s -C "$old" native/build/libso8t_cpu.so worker >"$work/build.log" 2>&1 || { tail -n 5 "$work/build.log" >&2; exit 1; }
	for tree in "$old" "$here"; do (cd "$tree" && CGO_ENABLED=0 go build -o "$work/bench-$(basename "$tree")" ./bench); done
}

port=7391
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
export TEMPORAL_ADDRESS=127.0.0.1:$port TEMPORAL_NAMESPACE=default SO8T_HOST=against TMPDIR=$work/tmp
mkdir -p "$TMPDIR"
started=()
stop() {
	for pid in "${started[@]}"; do kill "${1:--TERM}" "$pid" 2>/dev/null || true; done
	for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
	started=()
}
trap stop EXIT

serve() { # a Temporal server and the worker of a tree
	"$here/bin/temporal" server start-dev --ip 127.0.0.1 --port "$port" --headless --db-filename "$work/temporal.db" --log-level error \
		>>"$work/server.log" 2>&1 &
	started+=($!)
	until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
	(cd "$1" && exec bin/worker >>"$work/worker.log" 2>&1) &
	started+=($!)
}

submit() { # a tree, a workflow id, further flags: the demo's run on this tree's base and records
	local tree=$1 id=$2
	shift 2
	(cd "$tree" && bin/worker start --config "$here/configs/demo.yaml" --base-model "$here/demo/base" --dataset "$here/demo/data/*.jsonl" \
		--output "$work/runs/$id" --workflow-id "$id" "$@" >>"$work/start.log" 2>&1)
}

digest() { # of what a run gave: adapters, merged weights, decisions but for their times
	local dir=$work/runs/$1
	case $2 in
	adapter) cat "$dir"/final_model/adapter*/adapter_model.safetensors ;;
	merged) cat "$dir"/final_model/merged/*.safetensors ;;
	decisions) for m in base retrained; do sed -n '/^  "decisions"/,$p' "$dir/evaluation/$m.json" | grep -v latency_seconds; done ;;
	esac | sha256sum | cut -c1-64
}

differs=0
same() { # prints a row for one result of two runs
	local a b verdict=same
	a=$(digest "$1" "$3") b=$(digest "$2" "$3")
	[ "$a" = "$b" ] || { verdict=DIFFERS; differs=1; }
	printf '%-34s %-8s %.16s… %.16s…\n' "$4: $3" "$verdict" "$a" "$b"
}

number() { grep -o "\"$2\": *[-+.eE0-9]*" "$1" | head -n 1 | sed 's/.*: *//'; }
rate() { # one over the time between two times of RFC 3339
	awk -v a="$(date -d "$1" +%s.%N)" -v b="$(date -d "$2" +%s.%N)" 'BEGIN { print 1 / (b - a) }'
}
text() { grep -o "\"$2\": *\"[^\"]*\"" "$1" | head -n 1 | cut -d'"' -f4; }

measure() { # a tree, a workflow id: speeds by name, each in something a second
	local tree=$1 id=$2 dir=$work/runs/$2 bench claimed split
	bench=$work/bench-$(basename "$tree")
	(cd "$tree" && "$bench" step --base "$here/demo/base" --sequence 256 --samples 16 --row 1024 --steps 60) >"$work/step.json"
	echo "step $(number "$work/step.json" tokens_per_second)"
	(cd "$tree" && "$bench" save --base "$here/demo/base" --bytes 100000000 --steps 60) >"$work/save.json"
	echo "save $(number "$work/save.json" call_seconds | awk '{ print 1 / $1 }')"
	serve "$tree"
	submit "$tree" "$id" --dataset "$work/records.jsonl" --set training.num_train_epochs=1 --set training.eval_steps=0
	stop
	claimed=$(grep "run claimed.*workflow=$id " "$work/worker.log" | head -n 1 | sed 's/time=\([^ ]*\).*/\1/')
	split=$(grep "msg=split workflow=$id " "$work/worker.log" | head -n 1 | sed 's/time=\([^ ]*\).*/\1/')
	echo "split $(rate "$claimed" "$split")"
	echo "evaluation $(rate "$(text "$dir/evaluation/retrained.json" started_at)" "$(text "$dir/evaluation/retrained.json" finished_at)")"
	rm -rf "$dir"
}

build
rm -rf "$work/runs" "$work"/temporal.db* "$work"/*.log
echo "building done; $from is $(git -C "$old" log --format=%h -1)"

serve "$old" && submit "$old" before && stop
serve "$here" && submit "$here" after && stop
for what in adapter merged decisions; do same before after "$what" "the demo"; done

long=(--set training.num_train_epochs=6 --set checkpoint.interval_seconds=2)
serve "$old" && submit "$old" undisturbed "${long[@]}" && stop
serve "$old"
submit "$old" begun "${long[@]}" &
client=$!
until compgen -G "$work/runs/begun/checkpoints/checkpoint_epoch_2_*" >/dev/null; do sleep 0.05; done
sleep 1 # the middle of an epoch
stop -KILL
kill "$client" 2>/dev/null || true
at=$(basename "$(find "$work/runs/begun/checkpoints" -maxdepth 1 -name 'checkpoint_epoch_*' | sort -V | tail -n 1)")
serve "$here"
(cd "$here" && bin/worker follow begun >>"$work/start.log" 2>&1)
stop
for what in adapter merged decisions; do same undisturbed begun "$what" "taken over at ${at#checkpoint_}"; done

for i in $(seq 4); do sed "s/\"instruction\": \"/&$i. /" demo/data/*.jsonl; done >"$work/records.jsonl"
for round in $(seq "$rounds"); do
	trees=("$old" "$here")
	[ $((round % 2)) = 1 ] || trees=("$here" "$old")
	for tree in "${trees[@]}"; do measure "$tree" "round-$round-$(basename "$tree")" | sed "s/^/$(basename "$tree") /"; done
done >"$work/speeds"
awk -v here="$(basename "$here")" '
	function median(list, n,   i, j, t) {
		for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
		return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
	}
	{ value[$1, $2, ++count[$1, $2]] = $3; if (!($2 in seen)) { seen[$2] = 1; order[++n] = $2 } }
	END {
		print "speed by turns: this tree ÷ the earlier commit, pair by pair: median, least, most of", count[here, order[1]]
		for (k = 1; k <= n; k++) {
			m = order[k]
			pairs = count[here, m]
			for (i = 1; i <= pairs; i++) ratio[i] = value[here, m, i] / value["from", m, i]
			middle = median(ratio, pairs)
			printf "%-12s %.3f   %.3f to %.3f\n", m, middle, ratio[1], ratio[pairs]
		}
	}' "$work/speeds"
exit "$differs"
