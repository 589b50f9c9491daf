package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"so8t/configs"
	"so8t/device"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/engine/phi3"
	"so8t/engine/safetensors"
	"so8t/export"
	"so8t/export/merged"
	adapters "so8t/export/peft"
)

// exportCommand exports a checkpoint with random numbers, and measures the memory that it takes.
type exportCommand struct {
	Shape   string `default:"phi35" enum:"${shapes}" help:"${enum}"`
	Work    string `help:"Folder for base, checkpoint and export, 18 GB for phi35; a temporary one by default."`
	Rank    int    `default:"64" help:"Of LoRA, on all projections."`
	Threads int    `help:"0: all."`
	Measure bool   `hidden:"" help:"Export what lies in the folder. The child that is measured."`
}

// exportResult is export's last line. Memory is what the process holds beyond mapped files: RssAnon and RssShmem.
type exportResult struct {
	Shape            string             `json:"shape,omitempty"`
	BaseBytes        int64              `json:"base_bytes,omitempty"`
	CheckpointBytes  int64              `json:"checkpoint_bytes,omitempty"`
	Seconds          map[string]float64 `json:"seconds"`
	PeakBytes        map[string]int64   `json:"peak_rss_beyond_mapping_bytes"`
	HighWaterBytes   int64              `json:"vm_hwm_bytes"` // mapped pages included
	ParametersMapped int64              `json:"parameters_mapped_bytes"`
	OptimizerBytes   int64              `json:"optimizer_bytes"`
	OptimizerMapped  int64              `json:"optimizer_mapped_bytes"` // mapped by the kernel along with a neighbouring page
}

var exportIdentity = checkpoint.Identity{WorkflowID: "bench"}

// Run prints an exportResult.
func (c *exportCommand) Run(ctx context.Context) (err error) {
	if c.Measure {
		return c.measure(ctx)
	}
	if c.Work == "" {
		if c.Work, err = os.MkdirTemp("", "so8t-bench-export-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.Work)) }()
	}
	s := shapes[c.Shape]
	fmt.Printf("writing a random %s and a checkpoint of it to %s\n", c.Shape, c.Work)
	r := exportResult{Shape: c.Shape}
	if r.BaseBytes, err = writeModel(ctx, filepath.Join(c.Work, "base"), s, "", 1); err != nil {
		return err
	}
	if r.CheckpointBytes, err = c.writeCheckpoint(ctx); err != nil {
		return err
	}
	child, err := self("export", "--measure", "--shape", c.Shape, "--work", c.Work, "--rank", strconv.Itoa(c.Rank), "--threads", strconv.Itoa(c.Threads))
	if err != nil {
		return err
	}
	if _, err := child.read(ctx, &r); err != nil {
		return err
	}
	fmt.Printf("at most %.0f MB beyond the mapping; of the optimizer's %.0f MB, %d bytes were mapped in\n",
		float64(r.PeakBytes["all"])/1e6, float64(r.OptimizerBytes)/1e6, r.OptimizerMapped)
	return printJSON(r)
}

func (c *exportCommand) plan() (*engine.AdapterPlan, error) {
	config, err := phi3.LoadConfig(filepath.Join(c.Work, "base"))
	if err != nil {
		return nil, err
	}
	return engine.PlanAdapter(config, engine.LoRAOptions{R: c.Rank, Alpha: 2 * float64(c.Rank), TargetModules: configs.Projections},
		engine.GateOptions{Enabled: true})
}

func (c *exportCommand) store() (*checkpoint.Store, error) {
	return checkpoint.OpenStore(filepath.Join(c.Work, "checkpoints"), exportIdentity, checkpoint.Options{})
}

// writeCheckpoint saves random parameters with the states of a float32 AdamW.
func (c *exportCommand) writeCheckpoint(ctx context.Context) (int64, error) {
	plan, err := c.plan()
	if err != nil {
		return 0, err
	}
	store, err := c.store()
	if err != nil {
		return 0, err
	}
	state := &checkpoint.State{Identity: exportIdentity, Position: checkpoint.Position{Epoch: 1, Step: 1}, Metrics: json.RawMessage("{}")}
	for i, name := range []string{"parameters", "lora.m", "lora.v"} {
		x := safetensors.Tensor{DType: safetensors.F32, Shape: []int64{int64(plan.N)}}
		state.Tensors = append(state.Tensors, safetensors.Named{Name: name, Tensor: x, From: noise(i)})
	}
	info, err := store.Save(ctx, state, "bench")
	return info.Bytes, err
}

// noise is a stream of small random float32.
type noise uint64

func (n noise) ReadAt(b []byte, offset int64) (int, error) {
	r := rand.New(rand.NewPCG(uint64(n), uint64(offset)))
	for i := 0; i+4 <= len(b); i += 4 {
		const exponent = 120 << 23 // up to ±2⁻⁶
		binary.LittleEndian.PutUint32(b[i:], r.Uint32()&(1<<31|1<<23-1)|exponent)
	}
	return len(b), nil
}

// measure exports what lies in the work folder and prints what it took.
func (c *exportCommand) measure(ctx context.Context) error {
	r := exportResult{Seconds: map[string]float64{}, PeakBytes: map[string]int64{}}
	plan, err := c.plan()
	if err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	var state *checkpoint.State
	var info checkpoint.Info
	if err := r.phase("verify", func() (err error) {
		state, info, err = store.LatestMapped(ctx)
		return err
	}); err != nil {
		return err
	}
	defer state.Release()
	base, final := filepath.Join(c.Work, "base"), filepath.Join(c.Work, "final_model")
	b, err := export.New(base, plan, state, info)
	if err != nil {
		return err
	}
	if err := r.phase("adapters", func() error {
		return adapters.Write(nil, foldersOf(final), b)
	}); err != nil {
		return err
	}
	if err := r.phase("merged", func() error {
		merger, err := engine.OpenMerger(engine.Options{Device: device.Device{Kind: device.CPU}, Threads: c.Threads})
		if err != nil {
			return err
		}
		return errors.Join(merged.Write(ctx, nil, filepath.Join(final, "merged"), b, merger, merged.ShardBytes), merger.Close())
	}); err != nil {
		return err
	}
	if r.HighWaterBytes, err = statusBytes("VmHWM"); err != nil {
		return err
	}
	for _, t := range state.Tensors {
		mapped, err := mappedBytes(t.Data)
		if err != nil {
			return err
		}
		if t.Name == "parameters" {
			r.ParametersMapped = mapped
			continue
		}
		r.OptimizerBytes, r.OptimizerMapped = r.OptimizerBytes+int64(len(t.Data)), r.OptimizerMapped+mapped
	}
	return printJSON(r)
}

// phase runs f and notes its time and the most memory beyond mapped files.
func (r *exportResult) phase(name string, f func() error) error {
	done, peak := make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			anonymous, _ := statusBytes("RssAnon")
			shared, _ := statusBytes("RssShmem")
			most = max(most, anonymous+shared)
			select {
			case <-done:
				peak <- most
				return
			case <-tick.C:
			}
		}
	}()
	start := time.Now()
	err := f()
	r.Seconds[name] = time.Since(start).Seconds()
	close(done)
	r.PeakBytes[name] = <-peak
	r.PeakBytes["all"] = max(r.PeakBytes["all"], r.PeakBytes[name])
	return err
}

// statusBytes is a line of /proc/self/status.
func statusBytes(key string) (int64, error) { return statusBytesOf(os.Getpid(), key) }

func statusBytesOf(pid int, key string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "\n"+key+":")
	var kilobytes int64
	if _, err := fmt.Sscan(rest, &kilobytes); !found || err != nil {
		return 0, fmt.Errorf("%s: no %s", path, key)
	}
	return kilobytes << 10, nil
}

// mappedBytes counts the pages of a mapped view that this process has, by /proc/self/pagemap: what was touched, and what
// the kernel mapped along with it (fault-around, large folios) at the view's ends.
func mappedBytes(view []byte) (int64, error) {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	page := uintptr(os.Getpagesize())
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(view))) / page
	end := (uintptr(unsafe.Pointer(unsafe.SliceData(view))) + uintptr(len(view)) + page - 1) / page
	entries := make([]byte, 8*(end-begin))
	if _, err := f.ReadAt(entries, 8*int64(begin)); err != nil {
		return 0, err
	}
	var bytes int64
	for ; len(entries) > 0; entries = entries[8:] {
		if present := binary.LittleEndian.Uint64(entries)>>63 == 1; present {
			bytes += int64(page)
		}
	}
	return bytes, nil
}
