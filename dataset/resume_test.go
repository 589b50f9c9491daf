package dataset

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"so8t/dataset/record"
	"so8t/disk"
	"so8t/policy"
	"so8t/tokenizer"
)

// A child process splits in.jsonl of the folder that SPLIT_CHILD names, and prints the bytes read as it goes.
const splitChild = "SPLIT_CHILD"

// testCommit is small, so that the test's few megabytes hold many commits.
const testCommit = 300 << 10

func TestMain(m *testing.M) {
	dir := os.Getenv(splitChild)
	if dir == "" {
		os.Exit(m.Run())
	}
	tok, err := tokenizer.Load(filepath.Join("..", "tokenizer", "testdata", "fallback"))
	if err == nil {
		var o SplitOptions
		if o, err = resumable(dir, tok); err == nil {
			o.Progress = func(read, size int64) { fmt.Println(read) }
			_, err = Split(context.Background(), o)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func resumable(dir string, tok *tokenizer.Tokenizer) (SplitOptions, error) {
	p, err := policy.New(policy.Default())
	return SplitOptions{Paths: []string{filepath.Join(dir, "in.jsonl")}, Dir: filepath.Join(dir, "out", "splits"), Tokenizer: tok,
		MaxSeqLength: 512, MaxBadFraction: 1, MaxTooLongFraction: 1, Records: record.Options{FourClass: true}, QuadrupleThinking: true,
		Policy: p, Threads: 2, Seed: 42, commitEvery: testCommit}, err
}

// mixedLines are good records among bad, long, removed, near and equal ones.
func mixedLines(t testing.TB, n int) []string {
	t.Helper()
	var lines []string
	for i := range n {
		r := example(i)
		r["instruction"] = fmt.Sprintf("第%d章の要約を%d行で、%sの例とともに書いてください。", i, i*7919%10007, strings.Repeat("社外", i%13))
		r["output"] = strings.Repeat("手順を順に説明します。", i%9)
		switch i % 50 {
		case 7:
			r["output"] = ""
		case 13:
			r["output"] = strings.Repeat("長い。", 400)
		case 21:
			r["input"] = "連絡先は taro.yamada@example.co.jp です。"
		case 34:
			r["instruction"] = fmt.Sprintf("次の文章を英語に訳してください。番号は%dです。返事は短く、しかし丁寧に書き、余計な説明はしないでください。", i/1000)
		case 45:
			r = example(3)
		}
		lines = append(lines, jsonLine(t, r))
	}
	return lines
}

func resumeDir(t testing.TB, lines []string) string {
	t.Helper()
	dir := t.TempDir()
	writeLines(t, filepath.Join(dir, "in.jsonl"), lines)
	return dir
}

// splitFiles are the contents of a splits folder; the report without the path of its input.
func splitFiles(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range fileNames(t, filepath.Join(dir, "out")) {
		data, err := os.ReadFile(filepath.Join(dir, "out", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(bytes.ReplaceAll(data, []byte(dir), nil))
	}
	return files
}

func wantSame(t testing.TB, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s differs", name)
		}
	}
}

func runSplit(t *testing.T, dir, crashAt string, after time.Duration) (read int64, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), splitChild+"="+dir, "SO8T_CRASH_AT="+crashAt)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		defer time.AfterFunc(after, func() { cmd.Process.Kill() }).Stop()
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		read, _ = strconv.ParseInt(lines.Text(), 10, 64)
	}
	return read, cmd.Wait()
}

func wasKilled(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// committed is what progress.json says is read; 0 without one.
func committed(t *testing.T, dir string) int64 {
	t.Helper()
	var p progress
	data, err := os.ReadFile(filepath.Join(dir, "out", ".splits.work", progressName))
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return p.Read
}

// Whenever a split is killed, the next goes on with what was committed, and in the end the files are those of one that
// was never killed.
func TestKilledSplits(t *testing.T) {
	lines := mixedLines(t, 12000)
	whole := resumeDir(t, lines)
	begun := time.Now()
	if _, err := runSplit(t, whole, "", 0); err != nil {
		t.Fatal(err)
	}
	took, want := time.Since(begun), splitFiles(t, whole)
	kills, worst, resumed := 0, int64(0), 0
	for kills < 50 {
		dir := resumeDir(t, lines)
		for {
			from := committed(t, dir)
			read, err := runSplit(t, dir, "", took/10+rand.N(took*8/10))
			if err == nil {
				break
			}
			if !wasKilled(err) {
				t.Fatal(err)
			}
			if from > 0 {
				resumed++
			}
			kills++
			if _, there := os.Stat(filepath.Join(dir, "out", "splits", manifestName)); there != nil {
				worst = max(worst, read-committed(t, dir))
			}
		}
		wantSame(t, splitFiles(t, dir), want)
	}
	t.Logf("%d kills, %d of them of a split that went on; at most %d bytes of input were read again", kills, resumed, worst)
	if resumed == 0 {
		t.Error("no split went on")
	}
	if most := int64(testCommit + 2*inHand); worst > most {
		t.Errorf("%d bytes of input are read again, at most %d are due", worst, most)
	}
	if most := commitBytes + inHandAtMost; most > 64<<20 {
		t.Errorf("%d bytes may be read again", most)
	}
}

func TestKilledAtCrashPoints(t *testing.T) {
	lines := mixedLines(t, 8000)
	whole := resumeDir(t, lines)
	if _, err := runSplit(t, whole, "", 0); err != nil {
		t.Fatal(err)
	}
	want := splitFiles(t, whole)
	for _, point := range disk.CrashPoints {
		if !strings.HasPrefix(point, "split.") && !strings.HasPrefix(point, "dir.") && !strings.HasPrefix(point, "file.") {
			continue
		}
		for _, time := range []int{1, 2} {
			if strings.HasPrefix(point, "dir.") && time > 1 || point == "split.half" && time > 1 || point == "split.merged" && time > 1 {
				continue // passed once
			}
			t.Run(fmt.Sprintf("%s:%d", point, time), func(t *testing.T) {
				dir := resumeDir(t, lines)
				if _, err := runSplit(t, dir, fmt.Sprintf("%s:%d", point, time), 0); !wasKilled(err) {
					t.Fatalf("the child did not come to %s: %v", point, err)
				}
				if _, err := runSplit(t, dir, "", 0); err != nil {
					t.Fatal(err)
				}
				wantSame(t, splitFiles(t, dir), want)
			})
		}
	}
}

// stopped splits until the nth block, and returns the bytes at which the work stands.
func stopped(t *testing.T, o SplitOptions, blocks int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Progress = func(int64, int64) {
		if blocks--; blocks == 0 {
			cancel()
		}
	}
	if _, err := Split(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("not stopped: %v", err)
	}
}

func TestStoppedSplitGoesOn(t *testing.T) {
	lines := mixedLines(t, 8000)
	tok := smallTokenizer(t)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, o *SplitOptions)
		goesOn bool
	}{
		{"as it was", func(*testing.T, *SplitOptions) {}, true},
		{"other threads", func(_ *testing.T, o *SplitOptions) { o.Threads = 1 }, true},
		{"other bound", func(_ *testing.T, o *SplitOptions) { o.MaxBadFraction = 0.5 }, true},
		{"other seed", func(_ *testing.T, o *SplitOptions) { o.Seed++ }, false},
		{"other length", func(_ *testing.T, o *SplitOptions) { o.MaxSeqLength-- }, false},
		{"no policy", func(_ *testing.T, o *SplitOptions) { o.Policy = nil }, false},
		{"other input", func(t *testing.T, o *SplitOptions) { writeLines(t, o.Paths[0], append(lines, lines[0])) }, false},
		{"a log is cut", func(t *testing.T, o *SplitOptions) {
			if err := os.Truncate(filepath.Join(workDir(o.Dir), "train.rows"), 10); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := resumable(resumeDir(t, lines), tok)
			if err != nil {
				t.Fatal(err)
			}
			stopped(t, o, 4)
			c.change(t, &o)
			first := int64(-1)
			size := int64(0)
			o.Progress = func(read, of int64) {
				if first < 0 {
					first, size = read, of
				}
			}
			m := mustSplit(t, o)
			if goesOn := first > size/4; goesOn != c.goesOn {
				t.Errorf("the first block ends at %d of %d", first, size)
			}
			fresh := o
			fresh.Dir, fresh.Progress = filepath.Join(t.TempDir(), "splits"), nil
			if n := mustSplit(t, fresh); n.Train.SHA256 != m.Train.SHA256 || n.Test.SHA256 != m.Test.SHA256 {
				t.Error("the split differs from one made at once")
			}
			if _, err := os.Stat(workDir(o.Dir)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the work folder is left: %v", err)
			}
		})
	}
}

func TestChangedInputIsRefused(t *testing.T) {
	o, err := resumable(resumeDir(t, mixedLines(t, 4000)), smallTokenizer(t))
	if err != nil {
		t.Fatal(err)
	}
	once := false
	o.Progress = func(int64, int64) {
		if !once {
			once = true
			if err := os.Chtimes(o.Paths[0], time.Now(), time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Split(t.Context(), o); !errors.As(err, new(*InputError)) || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("error %v", err)
	}
}
