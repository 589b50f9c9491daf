package configs

import "fmt"

// Formats are the values of data.format: the forms that records come in.
var Formats = []string{"auto", "alpaca", "messages", "sharegpt", "prompt_completion", "question_answer"}

func (k checker) data(d *Data) {
	k.need(len(d.InputPath) > 0, "data.input_path", "is required")
	for i, path := range d.InputPath {
		key := "data.input_path"
		if len(d.InputPath) > 1 {
			key = fmt.Sprintf("%s[%d]", key, i)
		}
		k.text(key, path)
	}
	k.oneOf("data.take", d.Take, []string{"", "newest", "all"})
	k.oneOf("data.format", d.Format, Formats)
	k.oneOf("data.unknown_columns", d.UnknownColumns, []string{"count", "refuse"})
	k.oneOf("data.train_on", d.TrainOn, []string{"last", "assistant"})
	k.atLeast("data.max_seq_length", d.MaxSeqLength, 16)
	k.within("data.max_bad_fraction", d.MaxBadFraction, 0, 1)
	k.within("data.max_too_long_fraction", d.MaxTooLongFraction, 0, 1)
}
