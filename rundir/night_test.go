package rundir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/contract"
	"so8t/disk"
)

// nights are runs of one configuration under one output_dir.
type nights struct {
	*testing.T
	server workflows
	root   string
	keep   int
	config string
}

// night is one of them, as its last activity sees it.
type night struct {
	*Dir
	run contract.Run
}

var tokyo = time.FixedZone("Asia/Tokyo", 9*60*60)

func newNights(t *testing.T) *nights {
	return &nights{t, workflows{}, t.TempDir(), 2, "/configs/demo.yaml"}
}

// at is the nominal time of a night: 02:00 in Tokyo of that day of November.
func at(day int) time.Time { return time.Date(2026, 11, day-1, 17, 0, 0, 0, time.UTC) }

func (n *nights) claim(id string, when time.Time) (contract.Run, error) {
	run := runOf(n.root, id)
	run.ConfigPath, run.Config.OutputDir, run.Config.Nightly.Keep = n.config, n.root, n.keep
	return TakeNight(n.Context(), run, when.In(tokyo), contract.Series{Config: n.config}, n.server.running)
}

// run is a night that has ended; with a model, unless it failed.
func (n *nights) run(id string, when time.Time, failed bool) night {
	n.Helper()
	run, err := n.claim(id, when)
	if err != nil {
		n.Fatal(err)
	}
	d := dirOf(run.OutputDir)
	if !failed {
		n.write(filepath.Join(d.Merged(), "config.json"))
		n.write(d.Metadata())
	}
	n.server[id] = false
	return night{d, run}
}

func (n *nights) write(path string) {
	n.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("{}"), 0o644)); err != nil {
		n.Fatal(err)
	}
}

func (n *nights) there() (names []string) {
	entries, err := os.ReadDir(n.root)
	if err != nil {
		n.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func (n *nights) prune(last night) []string {
	n.Helper()
	removed, err := last.PruneNights(n.Context(), last.run, n.server.running)
	if err != nil {
		n.Fatal(err)
	}
	return removed
}

func (n *nights) want(names ...string) {
	n.Helper()
	if got := n.there(); !slices.Equal(got, names) {
		n.Errorf("%v are there, want %v", got, names)
	}
}

func TestNightTakesADatedDirectory(t *testing.T) {
	n := newNights(t)
	claim := func(id string, when time.Time) string {
		t.Helper()
		run, err := n.claim(id, when)
		if err != nil {
			t.Fatal(err)
		}
		if run.OutputDir != filepath.Join(n.root, run.Night.Name) || run.CheckpointID != id || run.Night.Root != n.root || !run.Night.At.Equal(when) {
			t.Errorf("%+v, %+v", run, run.Night)
		}
		return run.Night.Name
	}
	n.write(filepath.Join(n.root, "2026-11-26T0200", "a file of somebody's")) // not ours
	n.write(filepath.Join(n.root, "2026-11-27T0200"))                         // not even a directory
	if err := os.Mkdir(filepath.Join(n.root, "2026-11-28T0200"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		id   string
		day  int
		want string
	}{
		{"a", 25, "2026-11-25T0200"},
		{"a", 25, "2026-11-25T0200"},   // a retry, or a reset
		{"b", 25, "2026-11-25T0200-2"}, // the hour that summer time repeats, or a second schedule
		{"c", 25, "2026-11-25T0200-3"},
		{"b", 25, "2026-11-25T0200-2"},
		{"d", 26, "2026-11-26T0200-2"},
		{"e", 27, "2026-11-27T0200-2"},
		{"f", 28, "2026-11-28T0200"}, // whose first claim was killed
		{"a", 29, "2026-11-29T0200"}, // an id that every night has
	} {
		if got := claim(tc.id, at(tc.day)); got != tc.want {
			t.Errorf("%s on day %d: %s, want %s", tc.id, tc.day, got, tc.want)
		}
	}
}

func TestNightHasNoWorkflowIDInItsDirectory(t *testing.T) {
	run := runOf(t.TempDir(), "w")
	run.Config.OutputDir = "x/{workflow_id}"
	_, err := TakeNight(t.Context(), run, at(25), contract.Series{}, workflows{}.running)
	if !as[*DirError](err) || !strings.Contains(err.Error(), "leave {workflow_id} out") {
		t.Error(err)
	}
}

func TestPromotedNight(t *testing.T) {
	n := newNights(t)
	for _, j := range []night{n.run("a", at(25), false), n.run("b", at(26), false)} {
		link, err := j.PromoteNight(t.Context(), *j.run.Night)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := os.Readlink(link)
		if link != filepath.Join(n.root, "final_model", "current") || text != "../"+j.run.Night.Name+"/final_model/merged" {
			t.Errorf("%s leads to %s", link, text)
		}
		if _, err := os.Stat(filepath.Join(link, "config.json")); err != nil {
			t.Error(err)
		}
	}
}

// An attempt that lost the directory may not move the link any more.
func TestPromotionNeedsTheLease(t *testing.T) {
	n := newNights(t)
	j := n.run("a", at(25), false)
	if err := os.MkdirAll(j.Checkpoints(), 0o755); err != nil {
		t.Fatal(err)
	}
	take := func(attempt int64) *disk.Lease {
		l, err := disk.AcquireLease(t.Context(), j.Checkpoints(), disk.Claimant{Owner: "a", Attempt: attempt, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Release() })
		return l
	}
	j.Lease = take(1)
	take(2)
	if _, err := j.PromoteNight(t.Context(), *j.run.Night); !errors.Is(err, disk.ErrLeaseLost) {
		t.Error(err)
	}
	if names := n.there(); slices.Contains(names, "final_model") {
		t.Error("the late attempt moved the link")
	}
}

func TestOldNightsGo(t *testing.T) {
	n := newNights(t)
	var last night
	for day := 21; day <= 25; day++ {
		last = n.run(fmt.Sprint("w", day), at(day), day == 22 || day == 24) // two of them failed
	}
	n.write(filepath.Join(n.root, ".2026-11-01T0200.removed", "checkpoints", "x"))                              // by a process that was killed
	if err := os.CopyFS(filepath.Join(n.root, "2026-11-25T0200-2"), os.DirFS(last.run.OutputDir)); err != nil { // a person's copy counts for nothing
		t.Fatal(err)
	}
	if removed := n.prune(last); !slices.Equal(removed, []string{"2026-11-22T0200", "2026-11-21T0200"}) {
		t.Errorf("removed %v", removed)
	}
	n.want("2026-11-23T0200", "2026-11-24T0200", "2026-11-25T0200", "2026-11-25T0200-2") // two models, and the failure between them
	if removed := n.prune(last); len(removed) > 0 {
		t.Errorf("then %v", removed)
	}
}

func TestNightsThatStay(t *testing.T) {
	n := newNights(t)
	n.keep = 1
	n.run("running", at(10), false)
	n.server["running"] = true
	current := n.run("current", at(11), false)
	if _, err := current.PromoteNight(t.Context(), *current.run.Night); err != nil {
		t.Fatal(err)
	}
	atWork := n.run("at work", at(12), false) // an evaluation of it, say, which has no run.json of its own
	lease, err := disk.AcquireLease(t.Context(), atWork.Checkpoints(), disk.Claimant{Owner: "evaluate", Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	n.run("plain", at(13), false)
	if _, err := Take(t.Context(), runOf(filepath.Join(n.root, "2026-11-13T0200"), "by hand"), n.server.running); err != nil { // went on with it
		t.Fatal(err)
	}
	n.run("copied", at(14), false)
	for _, name := range []string{"2026-11-14T0200-2", "best"} { // a person's copies
		if err := os.CopyFS(filepath.Join(n.root, name), os.DirFS(filepath.Join(n.root, "2026-11-14T0200"))); err != nil {
			t.Fatal(err)
		}
	}
	n.write(filepath.Join(n.root, "2026-11-15T0200", "notes.txt"))
	n.config = "/configs/other.yaml"
	n.run("other", at(16), false)
	n.config = "/configs/demo.yaml"
	unknown := n.run("unknown to the server", at(17), false)
	delete(n.server, unknown.run.WorkflowID)
	last := n.run("last", at(18), false)

	if removed := n.prune(last); !slices.Equal(removed, []string{"2026-11-17T0200", "2026-11-14T0200"}) {
		t.Errorf("removed %v", removed)
	}
	stay := []string{"2026-11-10T0200", "2026-11-11T0200", "2026-11-12T0200", "2026-11-13T0200", "2026-11-14T0200-2",
		"2026-11-15T0200", "2026-11-16T0200", "2026-11-18T0200", "best", "final_model"}
	n.want(stay...)

	// Once nothing keeps them, they go.
	n.server["running"] = false
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := last.PromoteNight(t.Context(), *last.run.Night); err != nil {
		t.Fatal(err)
	}
	n.prune(last)
	n.want(stay[3:]...)

	last.run.Config.Nightly.Keep = 0
	n.run("one more", at(19), false)
	if removed := n.prune(last); len(removed) > 0 {
		t.Errorf("keep 0 removed %v", removed)
	}
}

// A link that cannot be followed might lead to any of them.
func TestNightsStayIfTheLinkIsUnreadable(t *testing.T) {
	n := newNights(t)
	n.keep = 1
	n.run("a", at(25), false)
	last := n.run("b", at(26), false)
	n.write(filepath.Join(n.root, "final_model", "current")) // a file
	if removed, err := last.PruneNights(t.Context(), last.run, n.server.running); err == nil || len(removed) > 0 {
		t.Errorf("%v, %v", removed, err)
	}
	n.want("2026-11-25T0200", "2026-11-26T0200", "final_model")
}

// An older night that is compared again removes neither itself nor newer ones.
func TestOldNightComparedAgain(t *testing.T) {
	n := newNights(t)
	n.keep = 1
	old := n.run("a", at(25), false)
	n.run("b", at(26), false)
	if removed := n.prune(old); len(removed) > 0 {
		t.Errorf("removed %v", removed)
	}
}
