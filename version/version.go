// Package version says which build of the program computed something, and whether two builds compute the same bits.
package version

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"
)

// Release is the newest entry of CHANGELOG.md.
const Release = "0.1.0"

// Arithmetic is raised by each release that changes bits: for the same inputs a build of another arithmetic gives other
// weights or figures. CHANGELOG.md says of each release whether it does.
const Arithmetic = 1

// What -ldflags "-X so8t/version.tag=…" sets. Without them the commit is that of Go's build information.
var (
	tag    string // of git describe --tags
	commit string // of git rev-parse HEAD or git describe; "-dirty" behind it: the tree was modified
)

// Version is one build.
type Version struct {
	Tag        string `json:"tag,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Dirty      bool   `json:"dirty,omitempty"` // built from a modified tree
	Arithmetic int    `json:"arithmetic,omitempty"`
}

// Current is the version of this process.
func Current() Version {
	v := Version{Tag: cmp.Or(tag, Release), Arithmetic: Arithmetic}
	if v.Commit, v.Dirty = strings.CutSuffix(commit, "-dirty"); v.Commit != "" {
		return v
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.modified":
				v.Dirty = s.Value == "true"
			}
		}
	}
	return v
}

// Unversioned stands for the builds before there were versions. What they wrote names none.
var Unversioned = Version{Tag: "unversioned", Arithmetic: 1}

// String is v as people read it: "0.1.0, commit 6fdfc030198a, modified, arithmetic 1".
func (v Version) String() string {
	text := v.Tag
	if v.Commit != "" {
		text += fmt.Sprintf(", commit %.12s", v.Commit)
	}
	if v.Dirty {
		text += ", modified"
	}
	return fmt.Sprintf("%s, arithmetic %d", text, v.Arithmetic)
}

// SameArithmetic reports whether two builds compute the same bits.
func (v Version) SameArithmetic(other Version) bool { return v.Arithmetic == other.Arithmetic }
