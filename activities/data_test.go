package activities

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"so8t/configs"
	"so8t/contract"
	"so8t/dataset"
	"so8t/dataset/record"
	"so8t/dataset/source"
	"so8t/disk"
	"so8t/rundir"
	"so8t/tokenizer"
)

// The keys that configs checks are those that records have.
func TestFieldsAndFormsAreTheRecords(t *testing.T) {
	if !slices.Equal(configs.Fields, record.Fields) || !slices.Equal(configs.Formats, record.Formats) {
		t.Errorf("configs knows %v, %v; record %v, %v", configs.Fields, configs.Formats, record.Fields, record.Formats)
	}
}

const lineOfData = `{"instruction":"a","input":"","output":"b","four_class_label":"ALLOW"}` + "\n"

// dataRun reads the given files.
func dataRun(t *testing.T, files map[string]string) contract.Run {
	t.Helper()
	dir := t.TempDir()
	run := runOf(filepath.Join(dir, "out"), "w")
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run.Config.Data.InputPath = append(run.Config.Data.InputPath, path)
	}
	slices.Sort(run.Config.Data.InputPath)
	return run
}

func TestClaimFindsAndOpensEveryFile(t *testing.T) {
	run := dataRun(t, map[string]string{"a.jsonl": lineOfData, "b.jsonl": lineOfData})
	run.Config.Policy.RobotsDir = "robots"
	if _, err := claimData(&run); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(run.InputPaths, []string(run.Config.Data.InputPath)) || run.InputPath != run.InputPaths[0] {
		t.Errorf("%q, %q", run.InputPath, run.InputPaths)
	}
	if !filepath.IsAbs(run.Config.Policy.RobotsDir) {
		t.Errorf("policy.robots_dir is %s", run.Config.Policy.RobotsDir)
	}
	for name, tc := range map[string]struct {
		change func(*configs.Config)
		want   string
		text   string
	}{
		"a missing file":   {func(c *configs.Config) { c.Data.InputPath[1] = "/no/such.jsonl" }, contract.ErrData, "/no/such.jsonl"},
		"a file in a form": {func(c *configs.Config) { c.Data.InputPath[0] = writtenAs(t, "PAR1 and then nothing") }, contract.ErrData, "data"},
		"a web page":       {func(c *configs.Config) { c.Data.InputPath[0] = writtenAs(t, "<!DOCTYPE html><html></html>") }, contract.ErrData, "HTML"},
		"no robots files": {func(c *configs.Config) { c.Policy.Robots, c.Policy.RobotsDir = "require", "/no/robots" },
			contract.ErrConfig, "policy.robots_dir"},
		"labels in disunity": {func(c *configs.Config) { c.Data.Labels = map[string]string{"no": "DENY", "NO": "REFUSE"} }, contract.ErrConfig, "data.labels."},
	} {
		run := dataRun(t, map[string]string{"a.jsonl": lineOfData, "b.jsonl": lineOfData})
		tc.change(&run.Config)
		_, err := claimData(&run)
		if errorType(err) != tc.want || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %s %v, want %s …%s…", name, errorType(err), err, tc.want, tc.text)
		}
	}
}

func writtenAs(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A directory whose checkpoints were trained on other data is refused by the names of the files, before they are split.
func TestCase21OtherData(t *testing.T) {
	more := strings.Repeat(lineOfData, 2)
	for name, tc := range map[string]struct {
		there, here map[string]string
		old         bool // the manifest is of a version that knew one file
		want        []string
	}{
		"the same":            {map[string]string{"a": lineOfData}, map[string]string{"a": lineOfData}, false, nil},
		"another name":        {map[string]string{"a": lineOfData}, map[string]string{"b": lineOfData}, false, nil},
		"of an older version": {map[string]string{"a": lineOfData}, map[string]string{"a": lineOfData}, true, nil},
		"longer": {map[string]string{"a": lineOfData}, map[string]string{"a": more}, false,
			[]string{"data.input_path is ", "/a (71 bytes, SHA-256 ", "…) there, ", "/a (142 bytes) here"}},
		"of the same length": {map[string]string{"a": lineOfData}, map[string]string{"a": strings.ToUpper(lineOfData)}, false,
			[]string{"/a (71 bytes, SHA-256 ", "…) there, ", "…) here"}},
		"an older version's": {map[string]string{"a": lineOfData}, map[string]string{"a": more}, true,
			[]string{"/a (SHA-256 ", "…) there, ", "/a (142 bytes, SHA-256 "}},
		"one more": {map[string]string{"a": lineOfData}, map[string]string{"a": lineOfData, "b": more}, false,
			[]string{"/a (71 bytes, SHA-256 ", "is read there only", "/b (142 bytes) is read here only"}},
	} {
		before := dataRun(t, tc.there)
		d, err := claimData(&before)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.input.Digest(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := dataset.Manifest{FormatVersion: 3, Inputs: d.input.Files, Options: dataset.Options{PolicyVersion: d.policy.Version()}}
		if tc.old {
			m = dataset.Manifest{FormatVersion: 2, InputPath: d.input.Files[0].Path, DatasetDigest: d.input.Files[0].SHA256}
		}
		run := dataRun(t, tc.here)
		if d, err = claimData(&run); err != nil {
			t.Fatal(err)
		}
		leave(t, run.OutputDir, m)
		err = d.differs(t.Context(), run)
		if (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, text := range tc.want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v\nhas no %q", name, err, text)
			}
		}
	}
}

// leave puts a split's manifest and a checkpoint into a directory.
func leave(t *testing.T, dir string, m dataset.Manifest) {
	t.Helper()
	l := rundir.Layout(dir)
	for _, folder := range []string{l.Splits(), l.Checkpoint("checkpoint_epoch_0_step_1")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.ReplaceJSON(l.SplitManifest(), m); err != nil {
		t.Fatal(err)
	}
}

// Rules or robots files that have changed give other samples, though every file and key is the same.
func TestAnotherPolicyIsRefused(t *testing.T) {
	run := dataRun(t, map[string]string{"a": lineOfData})
	d, err := claimData(&run)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.input.Digest(t.Context()); err != nil {
		t.Fatal(err)
	}
	leave(t, run.OutputDir, dataset.Manifest{FormatVersion: 3, Inputs: slices.Clone(d.input.Files), Options: dataset.Options{PolicyVersion: "another"}})
	if err := d.differs(t.Context(), run); err == nil || !strings.Contains(err.Error(), "the policy's rules or its stored robots.txt files have changed") {
		t.Error(err)
	}
}

func TestManyFilesThatDifferAreFewLines(t *testing.T) {
	there := make([]source.File, 20)
	for i := range there {
		there[i] = source.File{Path: string(rune('a' + i)), Size: 1, SHA256: "x"}
	}
	list, err := fileDifferences(t.Context(), there, &source.Input{Files: []source.File{{Path: "z", Size: 2}}})
	if err != nil || len(list) != maxNamed+1 || list[maxNamed] != "16 files more" {
		t.Errorf("%q, %v", list, err)
	}
}

// A template that cannot render the shortest conversation is refused in the claim; one that asks for a system turn is not.
func TestCase5TheClaimTriesTheTemplate(t *testing.T) {
	for template, want := range map[string]string{
		"{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}":                      "",
		"{% if messages[0].role != 'system' %}{{ raise_exception('no system turn') }}{% endif %}": "",
		"{{ raise_exception('never') }}":                                                          "never",
		"{% for m in messages %}{{ m['content'].no_such_method() }}{% endfor %}":                  "no_such_method",
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("../demo/base")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o644); err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.Load(dir)
		if err == nil {
			err = tryTemplate(tok)
		}
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %q", template, err, want)
		}
	}
}

func TestNotesAreBounded(t *testing.T) {
	long := strings.Repeat("あ", 1000)
	notes := bounded(slices.Repeat([]string{long}, 100))
	if len(notes) != 30 || len([]rune(notes[0])) > 402 || !strings.HasPrefix(notes[29], "71 more notes") {
		t.Errorf("%d notes, the last is %s", len(notes), notes[len(notes)-1])
	}
	if got := bounded([]string{"a", "b"}); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
}
