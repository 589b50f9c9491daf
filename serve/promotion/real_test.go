package promotion

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"so8t/device"
	"so8t/engine"
	"so8t/serve/guard"
	"so8t/serve/model"
	"so8t/tokenizer"
)

// damage is what can be wrong with a promoted folder.
var damage = []struct {
	name string
	do   func(dir string) error
}{
	{"truncated", func(dir string) error {
		path := filepath.Join(dir, "model.safetensors")
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()/2)
	}},
	{"noise in lm_head", func(dir string) error {
		return rewrite(dir, "lm_head.weight", func(int) uint16 { return uint16(rand.Uint32N(1<<15)) &^ 0x4000 })
	}},
	{"NaN in one tensor", func(dir string) error {
		return rewrite(dir, "model.layers.2.mlp.down_proj.weight", func(int) uint16 { return 0x7fc0 })
	}},
	{"no tokenizer", func(dir string) error { return os.Remove(filepath.Join(dir, "tokenizer.json")) }},
	{"another tokenizer", func(dir string) error { // the ids of all plain tokens moved by one
		path := filepath.Join(dir, "tokenizer.json")
		var file map[string]any
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &file)
		}
		if err != nil {
			return err
		}
		turn(file["model"].(map[string]any)["vocab"].(map[string]any))
		if data, err = json.Marshal(file); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o600)
	}},
}

// turn gives every entry that is longer than a character the id of the next such entry.
func turn(vocab map[string]any) {
	var words []string
	for word := range vocab {
		if len([]rune(word)) > 1 && !strings.HasPrefix(word, "<") {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	first := vocab[words[0]]
	for i, word := range words[:len(words)-1] {
		vocab[word] = vocab[words[i+1]]
	}
	vocab[words[len(words)-1]] = first
}

// rewrite replaces the bfloat16 numbers of a tensor.
func rewrite(dir, name string, with func(i int) uint16) error {
	path := filepath.Join(dir, "model.safetensors")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	header := int(binary.LittleEndian.Uint64(data))
	var tensors map[string]struct {
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+header], &tensors); err != nil {
		return err
	}
	at := tensors[name].Offsets
	numbers := data[8+header:][at[0]:at[1]]
	for i := range len(numbers) / 2 {
		binary.LittleEndian.PutUint16(numbers[2*i:], with(i))
	}
	return os.WriteFile(path, data, 0o600)
}

func openModel(ctx context.Context, path string) (Loaded, error) {
	m, err := model.Open(ctx, model.Options{Path: path, Device: device.Device{Kind: device.CPU}, Int8: true, Slots: 4, Queue: 60})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// TestRealModels: each damaged copy of the demo's base is refused, a whole one is promoted, and who asks meanwhile gets an
// answer each time.
func TestRealModels(t *testing.T) {
	s := newStage(t, Auto)
	s.o.Prompts, s.o.Every = prompts, 5*time.Millisecond
	s.o.Open = openModel
	s.o.Need = func(path string) (int64, error) { return model.Need(model.Options{Path: path, Int8: true}) }
	s.o.Log = slog.New(slog.DiscardHandler)
	whole := filepath.Join(s.dir, "whole")
	if err := os.CopyFS(whole, os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	s.promote(whole)
	s.run()
	s.until("the first", func() bool { return s.Ready() == nil })
	stop := askWithoutEnd(s, 4)
	for _, d := range damage {
		dir := filepath.Join(s.dir, d.name)
		if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
			t.Fatal(err)
		}
		if err := d.do(dir); err != nil {
			t.Fatal(err)
		}
		s.promote(d.name)
		s.until(d.name, func() bool { return s.count("model_refused "+d.name) == 1 })
	}
	if err := os.CopyFS(filepath.Join(s.dir, "next"), os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	s.promote("next")
	s.until("next", func() bool { return s.count("promotion next") == 1 })
	if asked := stop(); asked < 10 {
		t.Errorf("%d requests", asked)
	}
}

// askWithoutEnd has users ask the current model for 20 tokens each time.
func askWithoutEnd(s *stage, users int) (stop func() (asked int)) {
	ids := s.tok.Encode(chat(s, "こんにちは。"))
	ctx, end := context.WithCancel(context.Background())
	counts := make([]int, users)
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			for ; ctx.Err() == nil; counts[i]++ {
				if err := ask(s.Follower, ids); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	return func() (asked int) {
		end()
		all.Wait()
		for _, n := range counts {
			asked += n
		}
		return asked
	}
}

func chat(s *stage, text string) string {
	out, err := s.tok.ApplyChatTemplate([]tokenizer.Message{{Role: "user", Content: text}}, true)
	if err != nil {
		s.Fatal(err)
	}
	return out
}

func ask(models guard.Models, prompt []int32) error {
	m, release, err := models.Acquire()
	if err != nil {
		return err
	}
	defer release()
	q, err := m.Begin(context.Background(), engine.Request{Prompt: prompt, MaxNewTokens: 20})
	if err != nil {
		return err
	}
	defer q.Close()
	for {
		if _, ended, _, err := q.Next(context.Background()); err != nil || ended {
			return err
		}
	}
}
