package model

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"so8t/device"
	"so8t/engine"
	"so8t/quadruple"
)

func TestZZSpeed(t *testing.T) {
	o := Options{Path: base, Device: device.Device{Kind: device.CPU}, Int8: true, Slots: 16, Queue: 2000}
	m, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	all600 := prompts(t, m, 1600)
	var gs, ss []float64
	for i := range 16 {
		asked := all600[i*100 : i*100+100]
		start := time.Now()
		gen, err := m.engine.Generate(t.Context(), asked, engine.GenerateOptions{MaxNewTokens: 200, EOS: m.ends})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, g := range gen {
			n += len(g.Tokens)
		}
		g := float64(n) / time.Since(start).Seconds()
		start = time.Now()
		n = 0
		var mu sync.Mutex
		var all sync.WaitGroup
		wakes := 0
		for _, p := range asked {
			all.Go(func() {
				s, err := m.Begin(t.Context(), engine.Request{Prompt: p, MaxNewTokens: 200})
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				text := m.Tokenizer().NewStream(false)
				var filter quadruple.Stream
				total, w := 0, 0
				for {
					tokens, ended, _, err := s.Next(t.Context())
					w++
					total += len(tokens)
					for _, id := range tokens {
						filter.Write(text.Push(id))
					}
					if err != nil || ended {
						break
					}
				}
				mu.Lock()
				n += total
				wakes += w
				mu.Unlock()
			})
		}
		all.Wait()
		s := float64(n) / time.Since(start).Seconds()
		gs, ss = append(gs, g), append(ss, s)
		fmt.Printf("Generate %.0f, served %.0f: %.3f  (%d tokens, %d wakes)\n", g, s, s/g, n, wakes)
	}
	slices.Sort(gs)
	slices.Sort(ss)
	fmt.Printf("median %.0f %.0f %.3f; best %.0f %.0f %.3f\n", gs[8], ss[8], ss[8]/gs[8], gs[15], ss[15], ss[15]/gs[15])
}
