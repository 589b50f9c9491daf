package configs

import (
	"fmt"
	"slices"
	"strings"

	"so8t/quadruple"
)

// Formats are the values of data.format: the forms that records come in.
var Formats = []string{"auto", "messages", "sharegpt", "alpaca", "prompt_completion", "question_answer"}

// Fields are the keys of data.columns: what a column can hold.
var Fields = []string{"instruction", "input", "output", "system", "messages", "history", "four_class_label", "domain_label", "safety_label",
	"thinking_format", "source_url", "license", "nsfw"}

func (k checker) data(d *Data) {
	k.need(len(d.InputPath) > 0, "data.input_path", "is required")
	for i, path := range d.InputPath {
		key := "data.input_path"
		if len(d.InputPath) > 1 {
			key = fmt.Sprintf("%s[%d]", key, i)
		}
		k.text(key, path)
	}
	k.need(d.Take == "" || d.Take == "newest" || d.Take == "all", "data.take", "must be newest or all, is %q", d.Take)
	k.oneOf("data.format", d.Format, Formats)
	k.columns(d)
	k.labels(d)
	k.oneOf("data.unknown_columns", d.UnknownColumns, []string{"count", "refuse"})
	k.oneOf("data.train_on", d.TrainOn, []string{"last", "assistant"})
	k.atLeast("data.max_seq_length", d.MaxSeqLength, 16)
	k.need(d.FourClass || !d.UseQuadrupleThinking, "data.use_quadruple_thinking",
		"true needs labels, but data.four_class is false; leave one of them out")
	k.within("data.max_bad_fraction", d.MaxBadFraction, 0, 1)
	k.within("data.max_too_long_fraction", d.MaxTooLongFraction, 0, 1)
}

func (k checker) columns(d *Data) {
	for _, field := range sortedKeys(d.Columns) {
		key := "data.columns." + field
		k.need(slices.Contains(Fields, field), key, "is no field; known are %s", strings.Join(Fields, ", "))
		k.text(key, d.Columns[field])
	}
}

// labels checks the classes that values are mapped to.
func (k checker) labels(d *Data) {
	k.need(d.FourClass || len(d.Labels) == 0, "data.labels", "maps labels, but data.four_class is false; leave one of them out")
	for _, value := range sortedKeys(d.Labels) {
		class := d.Labels[value]
		k.need(quadruple.IsLabel(class), "data.labels."+value, "must be one of %s, is %q", strings.Join(quadruple.Labels[:], ", "), class)
	}
}
