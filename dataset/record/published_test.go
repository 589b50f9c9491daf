package record_test

import (
	"bytes"
	"maps"
	"os"
	"strings"
	"testing"

	"so8t/configs"
	"so8t/dataset/record"
)

// TestPublishedRecords reads records of the published pipeline's shape with the mapping of its configuration.
func TestPublishedRecords(t *testing.T) {
	c, err := configs.Load("../../configs/retrain_published_four_class.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	d := c.Data
	r, err := record.NewReader(record.Options{Format: d.Format, Columns: d.Columns, Labels: d.Labels, UnknownColumns: d.UnknownColumns, FourClass: d.FourClass})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/published.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var seen record.Seen
	var records []record.Record
	bad := map[string]int{}
	for row := range bytes.Lines(data) {
		rec, reason, detail := r.Parse(bytes.TrimSpace(row), &seen)
		if reason != "" {
			bad[strings.TrimSpace(string(reason)+" "+detail)]++
			continue
		}
		records = append(records, rec)
	}
	labels, nsfw, urls := map[string]int{}, 0, 0
	for i, rec := range records {
		labels[rec.FourClassLabel]++
		if rec.NSFW {
			nsfw++
		}
		if strings.HasPrefix(rec.SourceURL, "https://data") {
			urls++
		}
		if rec.Instruction == "" || rec.Output == "" || (rec.Input != "") != (i == 18) || i != 16 && (rec.DomainLabel == "" || rec.SafetyLabel == "") {
			t.Errorf("record %d: %+v", i, rec)
		}
	}
	if want := map[string]int{"ALLOW": 12, "ESCALATION": 12, "DENY": 12, "REFUSE": 12}; !maps.Equal(labels, want) || nsfw != 12 || urls != 47 {
		t.Errorf("labels %v, %d nsfw, %d with a URL", labels, nsfw, urls)
	}
	if want := (map[string]int{
		`missing_field four_class_label (column "quadruple_classification.four_class_label | four_class_label")`: 1,
		`missing_field output (column "output")`: 1, "empty_field text": 1, "wrong_type url is a JSON number": 1,
		`unknown_label "BLOCK", not one of ALLOW, ESCALATION, DENY, REFUSE`:                                                      1,
		"wrong_type nsfw_label is a word that says neither nsfw nor safe, as true, yes, nsfw, unsafe or false, no, sfw, safe do": 1,
	}); !maps.Equal(bad, want) {
		t.Errorf("bad lines %v", bad)
	}
	if want := map[string]int64{"escalation → ESCALATION": 1, "ＤＥＮＹ → DENY": 1, "REFUSE  → REFUSE": 1}; !maps.Equal(seen.FoldedLabels, want) {
		t.Errorf("folded %v", seen.FoldedLabels)
	}
	for column, want := range map[string]int64{"instruction": 0, "text": 1, "four_class_label": 1, "keywords": 1, "crawled_at": 1,
		"quadruple_classification.task": 47, "quadruple_classification.detail": 1} {
		if seen.UnknownColumns[column] != want {
			t.Errorf("column %s was passed over %d times, want %d", column, seen.UnknownColumns[column], want)
		}
	}
	if seen.UnknownColumns["quadruple_classification.four_class_label"] != 0 {
		t.Errorf("columns passed over: %v", seen.UnknownColumns)
	}
}
