package evaluation

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/engine"
)

// recorder notes what is asked, and has losses whose sum depends on its order in the last bits.
type recorder struct {
	*fakeModel
	prompts []string
}

func (r *recorder) Generate(ctx context.Context, prompts [][]int32, o engine.GenerateOptions) ([]engine.Generation, error) {
	for _, p := range prompts {
		r.prompts = append(r.prompts, r.tok.Decode(p, true))
	}
	return r.fakeModel.Generate(ctx, prompts, o)
}

func (r *recorder) Loss(_ context.Context, inputIDs, _ [][]int32) (sum float64, targets int, err error) {
	for _, ids := range inputIDs {
		sum += math.Sqrt(float64(len(ids))) / 3
		targets += len(ids)
	}
	return sum, targets, nil
}

// withoutTimes is what two runs of one evaluation have in common.
func withoutTimes(e *Evaluation) Evaluation {
	out := *e
	out.StartedAt, out.FinishedAt = time.Time{}, time.Time{}
	out.Options.BatchSize = 0
	out.Totals.GenerationSeconds, out.TokensPerSecond = 0, 0
	return out
}

// reread is what comes back of batches that were written as JSON.
func reread(t *testing.T, batches []Batch) (out []Batch) {
	t.Helper()
	text, err := json.Marshal(batches)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

var errStop = errors.New("stop here")

// saveThen stops the run once n batches are saved.
func saveThen(saved *[]Batch, n int) func(Batch) error {
	return func(b Batch) error {
		if *saved = append(*saved, b); len(*saved) == n {
			return errStop
		}
		return nil
	}
}

func TestRunGoesOn(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	o := Options{Model: "base", BatchSize: 1}
	var all []Batch
	undisturbed, err := Run(t.Context(), &recorder{fakeModel: believer(t, tok, 3)}, tok, part, o, Session{Save: saveThen(&all, -1)})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 6 {
		t.Fatalf("12 samples, 2 together, were saved in %d batches", len(all))
	}
	for stop := 1; stop <= len(all); stop++ {
		model := &recorder{fakeModel: believer(t, tok, 3)}
		var saved []Batch
		if _, err := Run(t.Context(), model, tok, part, o, Session{Save: saveThen(&saved, stop)}); !errors.Is(err, errStop) {
			t.Fatalf("a failed Save gave %v", err)
		}
		earlier := reread(t, saved)
		var progress []int
		e, err := Run(t.Context(), model, tok, part, o, Session{Earlier: earlier, Save: saveThen(&saved, -1),
			Progress: func(done, _ int) { progress = append(progress, done) }})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := withoutTimes(e), withoutTimes(undisturbed); !reflect.DeepEqual(a, b) {
			t.Errorf("stopped after batch %d: %+v\nundisturbed: %+v", stop, a, b)
		}
		if !e.StartedAt.Equal(earlier[0].StartedAt) {
			t.Errorf("stopped after batch %d: it began %v, its first batch %v", stop, e.StartedAt, earlier[0].StartedAt)
		}
		once := slices.Compact(slices.Sorted(slices.Values(model.prompts)))
		if len(once) != len(part) || len(model.prompts) != len(part) {
			t.Errorf("stopped after batch %d: %d prompts, %d of them different, were asked for %d samples", stop, len(model.prompts), len(once), len(part))
		}
		if len(saved) != len(all) || progress[0] != 2*stop || progress[len(progress)-1] != len(part) {
			t.Errorf("stopped after batch %d: saved %d, progress %v", stop, len(saved), progress)
		}
		seconds := 0.0
		for _, b := range saved {
			seconds += b.GenerationSeconds
		}
		near(t, "generation seconds", e.Totals.GenerationSeconds, seconds)
	}
}

func TestRunRefusesAnswersToOtherQuestions(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	var saved []Batch
	if _, err := Run(t.Context(), believer(t, tok), tok, part, Options{}, Session{Save: saveThen(&saved, -1)}); err != nil {
		t.Fatal(err)
	}
	other := reread(t, saved)
	other[0].Decisions[4].Digest = strings.Repeat("f", 64)
	for want, earlier := range map[string][]Batch{"not asked": other, "once more": {saved[0], saved[0]}} {
		model := believer(t, tok)
		_, err := Run(t.Context(), model, tok, part, Options{}, Session{Earlier: earlier})
		if err == nil || !strings.Contains(err.Error(), want) || model.batches > 0 {
			t.Errorf("want %q, got %v after %d batches", want, err, model.batches)
		}
	}
	// What is not asked with MaxSamples was asked without.
	if _, err := Run(t.Context(), believer(t, tok), tok, part, Options{MaxSamples: 5}, Session{Earlier: saved}); err == nil {
		t.Error("answers to samples that are left out were taken")
	}
}

func TestBatchesDoNotShowInTheResult(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	var first Evaluation
	for i, c := range []struct {
		size     int
		interval time.Duration
	}{{100, 0}, {1, 0}, {2, 0}, {3, time.Hour}, {5, time.Second}} {
		e, err := Run(t.Context(), &recorder{fakeModel: believer(t, tok, 3)}, tok, part, Options{BatchSize: c.size}, Session{Interval: c.interval})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = withoutTimes(e)
		}
		if got := withoutTimes(e); !reflect.DeepEqual(got, first) {
			t.Errorf("%+v: %+v\nall at once: %+v", c, got, first)
		}
	}
}

func TestBatchesFitTheInterval(t *testing.T) {
	tok := loadTokenizer(t)
	var saved []Batch
	lengths := func(s Session) (out []int) {
		saved = nil
		s.Save = saveThen(&saved, -1)
		if _, err := Run(t.Context(), believer(t, tok), tok, testPart(t, tok), Options{BatchSize: 3}, s); err != nil {
			t.Fatal(err)
		}
		for _, b := range saved {
			out = append(out, len(b.Decisions))
		}
		return out
	}
	if got, want := lengths(Session{Interval: 24 * time.Hour}), []int{1, 4, 6, 1}; !slices.Equal(got, want) {
		t.Errorf("in no hurry: batches of %v, want %v", got, want)
	}
	// The second session goes on where the first was.
	first := reread(t, saved[:1])
	if got, want := lengths(Session{Interval: 24 * time.Hour, Earlier: first}), []int{4, 6, 1}; !slices.Equal(got, want) {
		t.Errorf("after one batch: batches of %v, want %v", got, want)
	}
	slow := reread(t, saved[:1])
	slow[0].Seconds = 1e6
	if got, want := lengths(Session{Interval: 24 * time.Hour, Earlier: append(first, slow...)}), []int{1, 4, 2}; !slices.Equal(got, want) {
		t.Errorf("after a slow batch of 4: batches of %v, want %v", got, want)
	}
	for _, c := range []struct {
		n                 int
		seconds, interval float64
		want              int
	}{{4, 100, 300, 6}, {4, 600, 300, 1}, {1, 600, 300, 1}, {4, 1, 300, 16}, {16, 1, 300, 32}, {16, 0, 300, 32}, {1, 75, 300, 2}, {8, 1, 1, 32},
		{8, 2, 1, 20}} {
		batches := []Batch{{Seconds: 1, Decisions: make([]Decision, 8)}, {Seconds: c.seconds, Decisions: make([]Decision, c.n)}}
		if got := batchLength(batches, 32, time.Duration(c.interval*float64(time.Second))); got != c.want {
			t.Errorf("after %d samples in %v s, interval %v s: %d, want %d", c.n, c.seconds, c.interval, got, c.want)
		}
	}
}
