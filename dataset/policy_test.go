package dataset

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"so8t/policy"
)

func withText(t testing.TB, key, value string, i int) string {
	t.Helper()
	r := example(i)
	r[key] = value
	return jsonLine(t, r)
}

func TestRemovalsAreCountedAndListed(t *testing.T) {
	lines := records(t, 0, 200)
	lines[4] = withText(t, "output", "宛先は taro@example.co.jp です。", 4)
	lines[9] = withText(t, "license", "CC0-1.0", 9)
	o := options(t, lines)
	o.Policy = withPolicy(t, func(*policy.Options) {})
	m := mustSplit(t, o)
	r := readReport(t, o)
	want := RemovedLine{Line: 5, Rule: "pii:email", Field: "output", Start: 4, Length: 18}
	if m.Removed["pii:email"] != 1 || m.Bad != 0 || !slices.Equal(r.RemovedLines, []RemovedLine{want}) || r.PIIByKind["email"] != 1 || len(partOf(t, o)) != 199 {
		t.Errorf("removed %v, %v", m.Removed, r.RemovedLines)
	}
	if r.Licenses["CC0-1.0"] != 1 || r.Policy.PII != "drop" || r.PolicyVersion != o.Policy.Version() || len(r.NotLookedFor) == 0 {
		t.Errorf("report %+v", r)
	}
	other := o
	other.Policy = nil
	if m := mustSplit(t, other); m.Reused || m.Options.PolicyVersion != "none" {
		t.Errorf("another policy makes another split: %+v", m)
	}
}

// Masked records are what is split and taught: those that differed in an address alone are equal.
func TestMaskedTextsAreSplit(t *testing.T) {
	lines := records(t, 0, 200)
	for i := range 60 {
		lines = append(lines, withText(t, "input", fmt.Sprintf("返信先は user%d@example.co.jp です。", i), 1000))
	}
	o := options(t, lines)
	o.Policy = withPolicy(t, func(o *policy.Options) { o.PII = "mask" })
	mustSplit(t, o)
	r := readReport(t, o)
	if r.MaskedByKind["email"] != 60 || len(r.MaskedLines) != 60 || r.Duplicates != 59 || len(r.RemovedLines) > 0 {
		t.Fatalf("masked %v, %d lines, %d duplicates", r.MaskedByKind, len(r.MaskedLines), r.Duplicates)
	}
	if got := r.MaskedLines[0]; got != (MaskedLine{Line: 201, Field: "input", Kind: "email", Start: 5, Length: 19}) {
		t.Errorf("%+v", got)
	}
	parts := map[string]bool{}
	digests := map[string]bool{}
	eachSample(t, o, func(part string, s Sample) {
		if s.SourceLine > 200 {
			parts[part], digests[s.Digest] = true, true
			if text := o.Tokenizer.Decode(s.InputIDs, false); strings.Contains(text, "@") || !strings.Contains(text, "EMAIL") {
				t.Errorf("%q", text)
			}
		}
	})
	if len(parts) != 1 || len(digests) != 1 {
		t.Errorf("masked records are in %v, of %d digests", parts, len(digests))
	}
}

func TestNSFWAllowedIsBad(t *testing.T) {
	lines := records(t, 0, 100)
	for i, label := range []string{"ALLOW", "DENY"} {
		r := example(i)
		r["nsfw"], r["four_class_label"] = true, label
		lines[i] = jsonLine(t, r)
	}
	o := options(t, lines)
	o.Policy = withPolicy(t, func(*policy.Options) {})
	o.MaxBadFraction = 0.01
	if m := mustSplit(t, o); m.Bad != 1 || m.Reasons["nsfw_allowed"] != 1 {
		t.Errorf("%+v", m)
	}
}

// nearLines are records of which some differ from another in a number alone.
func nearLines(t testing.TB) []string {
	var lines []string
	for i := range 400 {
		text := fmt.Sprintf("次の文書の要点を三つにまとめ、担当部門への連絡文を作成してください。文書の番号は%04dで、種類は%sです。", i, strings.Repeat("報告", i%4))
		if i%2 == 0 {
			text = fmt.Sprintf("%d%d%d の%s", i*7919, i*104729, i*1299709, strings.Repeat(string(rune('あ'+i%80)), 20))
		}
		lines = append(lines, withText(t, "instruction", text, i))
	}
	return lines
}

func TestNearDuplicates(t *testing.T) {
	o := options(t, nearLines(t))
	o.Policy = withPolicy(t, func(*policy.Options) {})
	m := mustSplit(t, o)
	r := readReportPointer(t, o)
	n := r.NearDuplicates
	if n == nil || n.Val == 0 || n.Test == 0 || n.Dropped || n.Threshold != 0.8 {
		t.Fatalf("%+v", n)
	}
	found := map[string]int64{}
	eachSample(t, o, func(part string, s Sample) {
		if s.NearDuplicate {
			found[part]++
			if s.SourceLine%2 == 1 { // of the records that are like no other
				t.Errorf("line %d of %s is near one in train", s.SourceLine, part)
			}
		}
	})
	if found["train"] != 0 || found["val"] != n.Val || found["test"] != n.Test || int64(len(n.Lines)) != n.Val+n.Test {
		t.Errorf("samples %v, report %+v", found, n)
	}
	parts := partOf(t, o)
	for _, line := range n.Lines {
		if parts[line.Line] != line.Part || parts[line.OfLine] != "train" || line.Similarity < 0.8 {
			t.Errorf("%+v", line)
		}
	}

	off, drop := o, o
	off.Dir, drop.Dir = o.Dir+"-off", o.Dir+"-drop"
	off.Policy = withPolicy(t, func(o *policy.Options) { o.NearDuplicates = "off" })
	drop.Policy = withPolicy(t, func(o *policy.Options) { o.NearDuplicates = "drop" })
	mustSplit(t, off)
	if readReportPointer(t, off).NearDuplicates != nil {
		t.Error("near duplicates are looked for although off")
	}
	d := mustSplit(t, drop)
	if d.Train.Samples != m.Train.Samples || d.Test.Samples != m.Test.Samples-n.Test || d.Val.Samples != m.Val.Samples-n.Val ||
		d.Removed["near_duplicate"] != n.Val+n.Test || len(readReportPointer(t, drop).RemovedLines) != int(n.Val+n.Test) {
		t.Errorf("dropped: %+v", d)
	}
	eachSample(t, drop, func(part string, s Sample) {
		if s.NearDuplicate {
			t.Errorf("%s still holds %+v", part, s)
		}
	})
}
