#!/bin/bash
# What may go wrong on a machine that is there for minutes, for the rehearsal: a stage that hangs and heeds no signal, one that fails, one
# whose program is missing; at last the script itself hangs. The stage between must run, and the summary say what each did.
. "$(dirname "$0")/stages.sh"
stage deaf 5 bash -c 'trap "" TERM; while :; do sleep 1; done'
stage failing 5 bash -c 'echo why it failed; exit 3'
stage absent 5 no-such-program
stage passing 5 echo '{"batch": 1, "error": "out of memory"}'
sleep 1000
