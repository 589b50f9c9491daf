package configs

import (
	"strings"
	"testing"
)

func TestNightly(t *testing.T) {
	keeping := func(n int) *Config {
		c, err := Parse("c.yaml", []byte(least), map[string]any{"nightly.keep": n})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if a, b := keeping(0), keeping(3); b.Nightly.Keep != 3 || a.Digest() != b.Digest() || a.TrainingDigest() != b.TrainingDigest() {
		t.Error("how many nights are kept changes no result, but a digest")
	}
	if _, err := Parse("c.yaml", []byte(least+"nightly:\n  keep: -1\n"), nil); err == nil ||
		!strings.Contains(err.Error(), "c.yaml:5: nightly.keep: must be at least 0, is -1") {
		t.Error(err)
	}
}
