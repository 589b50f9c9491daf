package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"so8t/device"
	"so8t/engine/phi3"
	"so8t/native/nativetest"
)

// fewRows is how many rows of a pass, or of lm_head, the libraries multiply one by one.
const fewRows = 16

func randomTokens(seed uint64, n int) []int32 {
	random := rand.New(rand.NewPCG(seed, 1))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(3 + random.IntN(400))
	}
	return ids
}

// TestCompanyBits: what a Scheduler promises of a sequence's bits. A sequence's logits are the same in company of any
// sequences while both passes have at most sixteen rows, and while both have more.
func TestCompanyBits(t *testing.T) {
	for _, options := range []Options{{}, {Int8: true}, {Float32: true}, {Float32: true, Int8: true}} {
		options.BasePath, options.Device, options.MaxTokens = variant(t, "gqa").dir, device.MustParse(os.Getenv("SO8T_DEVICE")), 512
		options.MaxLength, options.Algorithms = 100, nativetest.Algorithms()
		m, err := Open(ctx, options)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for _, kind := range []string{"prompts", "tokens", "a chunk beside tokens"} {
			var first [2][]float32 // of the passes of few rows, and of more
			for n := 1; n <= fewRows+8; n++ {
				logits := companyLogits(t, m, kind, n)
				class := 0
				if n > fewRows {
					class = 1
				}
				if first[class] == nil {
					first[class] = logits
				} else if !slices.Equal(first[class], logits) {
					t.Errorf("%+v: %s of %d sequences: other bits than of fewer", options, kind, n)
				}
			}
		}
	}
}

// companyLogits are the first sequence's logits after a pass over n sequences.
func companyLogits(t *testing.T, m *Model, kind string, n int) (logits []float32) {
	t.Helper()
	err := m.run(ctx, func() error {
		c, err := m.phi.NewCache(n, 100, 2*n)
		if err != nil {
			return err
		}
		defer m.phi.FreeCache(c)
		prompts, tokens := make([]phi3.Piece, n), make([]phi3.Piece, n)
		for i := range n {
			prompts[i] = phi3.Piece{Slot: i, IDs: randomTokens(uint64(i), 20)}
			tokens[i] = phi3.Piece{Slot: i, IDs: []int32{int32(5 + i)}}
		}
		if err := m.phi.Fill(c, prompts, true); err != nil {
			return err
		}
		if kind == "a chunk beside tokens" {
			tokens[0].IDs = randomTokens(99, 30)
		}
		if kind != "prompts" {
			if err := m.phi.Extend(c, tokens, true); err != nil {
				return err
			}
		}
		all, err := m.phi.PickedLogits()
		if err == nil {
			logits = all[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return logits
}

// openBFloat16 opens a model as it is served.
func openBFloat16(t *testing.T) *Model {
	t.Helper()
	m, err := Open(ctx, Options{BasePath: variant(t, "gqa").dir, Device: device.MustParse(os.Getenv("SO8T_DEVICE")), Int8: true, MaxTokens: 512,
		MaxLength: 250, Algorithms: nativetest.Algorithms()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() }) // after its schedulers
	return m
}

// TestCompanyTokens: in bfloat16 too, a request's tokens, greedy or drawn, are those it gets alone in
// company of up to 15 others.
func TestCompanyTokens(t *testing.T) {
	m := openBFloat16(t)
	answer := func(company int, temperature float64) string {
		s := openScheduler(t, m, SchedulerOptions{Slots: fewRows})
		r := Request{Prompt: randomTokens(0, 30), MaxNewTokens: 40, EOS: []int32{}, Temperature: temperature, Seed: 3, Index: 5}
		x, id := newStreams(t), submit(t, s, r)
		for i := range company {
			submit(t, s, Request{Prompt: randomTokens(uint64(1+i), 10+i), MaxNewTokens: 30 + i, EOS: []int32{}, Temperature: 1, Seed: uint64(i)})
		}
		for s.Len() > 0 {
			x.take(step(t, s))
		}
		return fmt.Sprint(x.tokens[id])
	}
	for _, temperature := range []float64{0, 1} {
		want := answer(0, temperature)
		for company := 1; company < fewRows; company++ {
			if got := answer(company, temperature); got != want {
				t.Errorf("temperature %v: %v in company of %d, alone %v", temperature, got, company, want)
			}
		}
	}
}
