package version

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"
)

// A release that changes bits raises Arithmetic, and nothing else does.
func TestChangelog(t *testing.T) {
	text, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	entries := regexp.MustCompile(`(?m)^## (\S+)`).FindAllStringSubmatchIndex(string(text), -1)
	if len(entries) == 0 {
		t.Fatal("CHANGELOG.md has no release")
	}
	if newest := string(text[entries[0][2]:entries[0][3]]); newest != Release {
		t.Errorf("CHANGELOG.md begins with %s, Release is %s", newest, Release)
	}
	changes := 0
	for i, e := range entries {
		end := len(text)
		if i+1 < len(entries) {
			end = entries[i+1][0]
		}
		said := regexp.MustCompile(`(?m)^Changes bits: (yes|no)$`).FindAllSubmatch(text[e[0]:end], -1)
		if len(said) != 1 {
			t.Errorf("%s says %d times whether it changes bits", text[e[2]:e[3]], len(said))
			continue
		}
		if string(said[0][1]) == "yes" {
			changes++
		}
	}
	if Arithmetic != 1+changes {
		t.Errorf("%d releases changed bits, but Arithmetic is %d", changes, Arithmetic)
	}
}

func TestCurrent(t *testing.T) {
	defer func(a, b string) { tag, commit = a, b }(tag, commit)
	tag, commit = "", "0123456789abcdef-dirty"
	if v := Current(); v != (Version{Release, "0123456789abcdef", true, Arithmetic}) {
		t.Errorf("%+v", v)
	}
	tag, commit = "v9.8.7-3-g0123456", "0123456789abcdef"
	v := Current()
	if got := v.String(); got != "v9.8.7-3-g0123456, commit 0123456789ab, arithmetic 3" {
		t.Errorf("%s", got)
	}
	text, err := json.Marshal(v)
	var back Version
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || back != v {
		t.Errorf("%s, %v: %+v", text, err, back)
	}
}

func TestSameArithmetic(t *testing.T) {
	if !Unversioned.SameArithmetic(Version{Tag: "0.1.0", Arithmetic: 1}) || Unversioned.SameArithmetic(Version{Tag: "0.2.0", Arithmetic: 2}) {
		t.Error("builds before there were versions had the first arithmetic")
	}
}
