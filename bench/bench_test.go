package main

import (
	"context"
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"so8t/engine/phi3"
	"so8t/engine/safetensors"
)

// TestWriteModel: a folder that the engine's reader takes, in shards, the same bytes twice, normal weights and unit norms.
func TestWriteModel(t *testing.T) {
	s := shape{Hidden: 64, Heads: 2, KV: 1, Inter: 96, Layers: 2, Vocab: 300, MaxPositions: 64, OriginalMax: 64}
	dirs := [2]string{t.TempDir(), t.TempDir()}
	for _, dir := range dirs {
		if _, err := writeModel(context.Background(), dir, s, "", 7); err != nil {
			t.Fatal(err)
		}
	}
	config, err := phi3.LoadConfig(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	if config.HiddenSize != s.Hidden || config.NumKeyValueHeads != s.KV {
		t.Errorf("config.json says %+v", config)
	}
	models := [2]*safetensors.Model{}
	for i, dir := range dirs {
		if models[i], err = safetensors.OpenModel(dir); err != nil {
			t.Fatal(err)
		}
		defer models[i].Close()
	}
	if got, want := len(models[0].Names()), len(s.specs()); got != want {
		t.Fatalf("%d tensors, want %d", got, want)
	}
	for _, name := range models[0].Names() {
		x, _ := models[0].Tensor(name)
		y, _ := models[1].Tensor(name)
		if !slices.Equal(x.Data, y.Data) {
			t.Errorf("%s: written twice, differs", name)
		}
		mean, deviation := moments(x.Data)
		if strings.HasSuffix(name, "norm.weight") {
			if mean != 1 || deviation != 0 {
				t.Errorf("%s: mean %v, deviation %v, want ones", name, mean, deviation)
			}
		} else if math.Abs(mean) > 0.002 || math.Abs(deviation-0.02) > 0.002 { // a tenth; the smallest has 4,096 numbers
			t.Errorf("%s: mean %v, deviation %v, want 0 and 0.02", name, mean, deviation)
		}
	}
}

func moments(data []byte) (mean, deviation float64) {
	var sum, squares float64
	n := float64(len(data) / 2)
	for ; len(data) > 0; data = data[2:] {
		x := float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(data)) << 16))
		sum, squares = sum+x, squares+x*x
	}
	return sum / n, math.Sqrt(max(0, squares/n-sum/n*sum/n))
}

// TestPhi35 pins the big shape to the real model's own count of parameters, 3,821,079,552.
func TestPhi35(t *testing.T) {
	var n int64
	for _, spec := range shapes["phi35"].specs() {
		count, err := spec.Elements()
		if err != nil {
			t.Fatal(err)
		}
		n += count
	}
	if n != 3_821_079_552 {
		t.Errorf("%d parameters", n)
	}
}

// TestFlops: by hand, for one layer of width 8 with one head, intermediate 16, rank 2, 4 tokens, vocabulary 10.
func TestFlops(t *testing.T) {
	s := shape{Hidden: 8, Heads: 1, KV: 1, Inter: 16, Layers: 1, Vocab: 10}
	frozen := 24*8 + 8*8 + 32*8 + 8*16
	adapters := 2 * (3*8 + 24 + 8 + 8 + 2*8 + 32 + 16 + 8)
	attention := 4 * 8
	want := float64(2 * (2*frozen + 3*adapters + 3*attention + 2*10*8))
	if got := s.flops(4, 2); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestLeastSeconds: Phi-3.5-mini, r = 64, 2,048 tokens need 16.8 GFLOP a token, 24.7 with the layers computed twice: at 790 TFLOP/s
// 47.0 and 32.0 thousand tokens/s; with 7.25 of them, and 14.5, at twice that, 59.9 and 45.3.
func TestLeastSeconds(t *testing.T) {
	for _, c := range []struct {
		recompute  bool
		bf16, int8 float64
	}{{false, 47.0e3, 59.9e3}, {true, 32.0e3, 45.3e3}} {
		bf16, int8 := shapes["phi35"].leastSeconds(2048, 64, c.recompute)
		if math.Abs(1/bf16-c.bf16) > 0.005*c.bf16 || math.Abs(1/int8-c.int8) > 0.005*c.int8 {
			t.Errorf("recompute %v: %.0f and %.0f tokens/s, want %.0f and %.0f", c.recompute, 1/bf16, 1/int8, c.bf16, c.int8)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.x); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.x, got, c.want)
		}
	}
}

func TestNeedFree(t *testing.T) {
	dir := t.TempDir()
	if err := needFree(dir, 1); err != nil {
		t.Error(err)
	}
	if err := needFree(dir, 1<<60); err == nil || !strings.Contains(err.Error(), filepath.Base(dir)) {
		t.Errorf("an exabyte: %v", err)
	}
}

// TestCoresInUse: a goroutine that spins is seen.
func TestCoresInUse(t *testing.T) {
	var stop atomic.Bool
	var spinning sync.WaitGroup
	spinning.Go(func() {
		for !stop.Load() {
		}
	})
	cores, err := coresInUse(context.Background(), 500*time.Millisecond)
	stop.Store(true)
	spinning.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if cores < 0.5 {
		t.Errorf("a core was busy, seen: %.2f", cores)
	}
	if err := quiet(context.Background(), time.Millisecond); err != nil {
		t.Error(err)
	}
	var x int
	disturbed, err := undisturbed(context.Background(), &x, process{program: "sh", args: []string{"-c", "sleep 0.3; echo 7"}})
	if err != nil || x != 7 || disturbed < 0 {
		t.Errorf("a quiet child: others %v, printed %d, %v", disturbed, x, err)
	}
}
