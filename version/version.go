// Package version identifies the build of the program, and tells whether two builds compute the same bits.
package version

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"
)

// Release is the newest entry of CHANGELOG.md.
const Release = "0.4.0"

// Arithmetic is raised by each release that changes bits: builds that differ in it give different weights or figures for
// the same inputs. CHANGELOG.md says for each release whether it changes bits.
const Arithmetic = 3

// Set by -ldflags "-X so8t/version.tag=…". Without them the commit comes from Go's build information.
var (
	tag    string // of git describe --tags
	commit string // of git rev-parse HEAD or git describe; ends in "-dirty" if the tree was modified
)

// Version is one build.
type Version struct {
	Tag        string `json:"tag,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Dirty      bool   `json:"dirty,omitempty"` // built from a modified tree
	Arithmetic int    `json:"arithmetic,omitempty"`
}

// Current returns the version of this process.
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

// Unversioned stands for the builds before the first version, whose checkpoints name none.
var Unversioned = Version{Tag: "unversioned", Arithmetic: 1}

// String formats v for people: "0.1.0, commit 6fdfc030198a, modified, arithmetic 1".
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
