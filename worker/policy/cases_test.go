package policy

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sets are the copies that stand here, and the files of the same names in the folder that SO8T_CASES names.
func sets(t *testing.T, name string) (paths []string) {
	t.Helper()
	paths = []string{filepath.Join("../../policy/testdata/cases", name)}
	if dir := os.Getenv("SO8T_CASES"); dir != "" {
		if path := filepath.Join(dir, name); exists(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// exact holds a command's answers against the keys of the same names in the set.
func exact[In interface{ id() string }](t *testing.T, name string, answer func(In) (any, error)) {
	t.Helper()
	for _, path := range sets(t, name) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := answerAll(bytes.NewReader(text), &out, answer); err != nil {
			t.Fatal(err)
		}
		want, got := lines(t, text), lines(t, out.Bytes())
		if len(want) == 0 || len(got) != len(want) {
			t.Fatalf("%s: %d answers to %d cases", path, len(got), len(want))
		}
		for i := range want {
			for key, value := range got[i] {
				if !reflect.DeepEqual(want[i][key], value) {
					t.Errorf("%s: %v (%v): %s is %v, want %v", path, want[i]["id"], want[i]["why"], key, value, want[i][key])
				}
			}
		}
	}
}

func lines(t *testing.T, text []byte) (all []map[string]any) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	return all
}

func TestCasesRobots(t *testing.T)  { exact(t, "robots.jsonl", judgeRobots) }
func TestCasesRecords(t *testing.T) { exact(t, "records.jsonl", judgeRecord) }

func TestLines(t *testing.T) {
	for in, want := range map[string]string{
		"":           "",
		"\n \n":      "",
		`{"id":"a"}`: `{"id":"a","allow":false}`,
		`{"id":"a","robots":"","url":"https://a.example/"}` + "\r\n\n" + `{"id":"<b>","robots":null,"status":404}`://
		`{"id":"a","allow":true}` + "\n" + `{"id":"<b>","allow":true}`,
		`{"id":"a","robots":"User-agent: *\nDisallow: /\n","url":"https://a.example/"}`: `{"id":"a","allow":false}`,
	} {
		var out strings.Builder
		if err := answerAll(strings.NewReader(in), &out, judgeRobots); err != nil || strings.TrimSpace(out.String()) != want {
			t.Errorf("%q: %v, %q", in, err, out.String())
		}
	}
	for in, want := range map[string]string{
		"{\"id\":\"a\"}\n\n{\"id\":":                          "line 3: unexpected end of JSON input",
		`{"robots":"x"}`:                                      "line 1: no id",
		"{\"id\":\"a\"}\n{\"id\":7}":                          "line 2: json: cannot unmarshal number",
		`{"id":"a","status":"200"}`:                           "line 1: json: cannot unmarshal string",
		`{"id":"a"}` + "\n" + strings.Repeat(" ", maxLine+10): "line 2: bufio.Scanner: token too long",
	} {
		var out strings.Builder
		err := answerAll(strings.NewReader(in), &out, judgeRobots)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: %v", in, err)
		}
		if strings.HasPrefix(in, `{"id":"a"}`) && strings.TrimSpace(out.String()) != `{"id":"a","allow":false}` {
			t.Errorf("%.40q: answered before the fault: %q", in, out.String())
		}
	}
	for policy, want := range map[string]string{
		`{"pii": "hide"}`:  `line 1: policy.pii: "hide": want drop, mask, keep`,
		`{"robot": "off"}`: `line 1: policy: json: unknown field "robot"`,
	} {
		err := answerAll(strings.NewReader(`{"id":"a","policy":`+policy+`,"record":{}}`), &strings.Builder{}, judgeRecord)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v", policy, err)
		}
	}
}
