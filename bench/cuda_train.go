package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"so8t/device"
)

// peft is what peft_train.py prints for one batch size.
type peft struct {
	Torch           string    `json:"torch"`
	Transformers    string    `json:"transformers"`
	PEFT            string    `json:"peft"`
	Batch           int       `json:"batch"`
	Error           string    `json:"error"`
	TokensPerSecond float64   `json:"tokens_per_second"`
	StepSeconds     []float64 `json:"step_seconds"`
	PeakBytes       int64     `json:"peak_bytes"`
	LossFirst       float64   `json:"loss_first"`
	LossLast        float64   `json:"loss_last"`
}

// train measures one cell of the table: this engine with each batch, then each peer.
func (b *cudaBench) train(work string, recompute bool) {
	for _, batch := range b.Batches {
		b.trainOwn(trainRun{Engine: "so8t", Variant: "int8", Work: work, Recompute: recompute, Batch: batch})
	}
	variants := []string{"bf16", "int8"}
	if !b.Int8Peer {
		variants = variants[:1]
	}
	for _, variant := range variants {
		b.trainPeer(trainRun{Engine: "PEFT", Variant: variant, Work: work, Recompute: recompute})
	}
}

func (b *cudaBench) trainOwn(r trainRun) {
	var s stepResult
	args := append(b.stepArgs(r.Batch, r.Work), "--recompute="+strconv.FormatBool(r.Recompute))
	if step, ok := b.self(args...); ok && b.measure(&r, step, func(line []byte) error { return json.Unmarshal(line, &s) }) {
		r.TokensPerSecond, r.StepSeconds, r.DevicePeak = s.TokensPerSecond, s.StepSeconds, s.HeldPeakBytes
		r.LossFirst, r.LossLast, r.Memory = s.LossFirst, s.LossLast, s.Memory
	}
	b.add(r)
}

// trainPeer runs one process for all batches; it prints a line for each.
func (b *cudaBench) trainPeer(peer trainRun) {
	if why := b.whyMissing(peer.Variant); why != "" {
		b.skip("PEFT "+peer.Variant, why)
		return
	}
	b.measure(&peer, process{program: b.Python, args: b.peerArgs(peer)}, func(line []byte) error {
		r := peer
		r.NVMLPeak, r.PowerWatts = b.watch.Peaks()
		var p peft
		if err := json.Unmarshal(line, &p); err != nil {
			return err
		}
		r.Batch, r.Error, r.TokensPerSecond, r.StepSeconds = p.Batch, p.Error, p.TokensPerSecond, p.StepSeconds
		r.LossFirst, r.LossLast = p.LossFirst, p.LossLast
		if b.Device.Kind == device.CUDA {
			r.DevicePeak = uint64(p.PeakBytes)
		}
		b.report.Torch = cmp.Or(p.Torch, b.report.Torch)
		b.add(r)
		return nil
	})
	if peer.Error != "" {
		b.add(peer)
	}
}

// stepArgs is bench step with batch samples a row: one row a step, or the mix of short samples packed into rows of the same size.
func (b *cudaBench) stepArgs(batch int, work string) []string {
	n := strconv.Itoa
	args := []string{"step", "--base", b.base, "--device", b.Device.String(), "--threads", n(b.Threads), "--algorithms", b.algorithms(),
		"--sequence", n(b.Sequence), "--rank", n(b.Rank), "--steps", n(b.Steps), "--seconds", fmt.Sprint(b.Stepping.Seconds()), "--row", n(batch * b.Sequence)}
	if work == "fixed" {
		return append(args, "--samples", n(batch))
	}
	return append(args, "--samples", n(b.perStep), "--lengths", join(b.lengths))
}

func (b *cudaBench) peerArgs(peer trainRun) []string {
	n := strconv.Itoa
	threads := b.Threads
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	args := []string{"bench/peft_train.py", "--shape", b.Shape, "--device", b.Device.String(), "--dtype", "bfloat16",
		"--threads", n(threads), "--sequence", n(b.Sequence), "--rank", n(b.Rank), "--steps", n(b.Steps), "--seconds", fmt.Sprint(b.Stepping.Seconds()),
		"--batches", join(b.Batches)}
	if peer.Work == "mix" {
		args = append(args, "--lengths", join(b.lengths), "--samples", n(b.perStep))
	}
	if peer.Recompute {
		args = append(args, "--recompute")
	}
	if peer.Variant == "int8" {
		args = append(args, "--base", "int8")
	}
	return args
}

func join(list []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(list)), ","), "[]")
}

// add enters a measurement into table and report.
func (b *cudaBench) add(r trainRun) {
	r.shares(b.shape, b.cudaCommand)
	b.report.Runs = append(b.report.Runs, r)
	fmt.Println(r.line())
	if err := b.write(); err != nil {
		b.skip("the file of results", err.Error())
	}
}
