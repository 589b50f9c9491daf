package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// RunInput starts any of the workflows.
type RunInput struct {
	// Config is the path of the YAML on the worker.
	Config string `json:"config"`
	// Set overrides the YAML: dotted key → value.
	Set map[string]any `json:"set,omitempty"`
	// Nightly makes a Retrain work in a dated directory of its own under output_dir.
	Nightly *Nightly `json:"nightly,omitempty"`
}

// Nightly configures the name of a night's directory.
type Nightly struct {
	// TimeZone is the IANA name (Asia/Tokyo) of the zone in which the directory's date and time are given.
	TimeZone string `json:"time_zone"`
}

// InputForm shows a valid input, for error messages.
const InputForm = `want {"config": "configs/….yaml", "set": {"training.seed": 1}}`

// ParseInput reads the JSON input of a workflow. Unknown fields are refused.
func ParseInput(raw json.RawMessage) (RunInput, error) {
	var in RunInput
	if err := parse(raw, &in, "input", InputForm); err != nil {
		return in, err
	}
	if in.Config == "" {
		return in, fmt.Errorf("input: config is missing: %s", InputForm)
	}
	if in.Nightly != nil && in.Nightly.TimeZone == "" {
		return in, errors.New(`input: nightly.time_zone is missing: want "nightly": {"time_zone": "Asia/Tokyo"}`)
	}
	return in, nil
}

// parse reads one JSON value without unknown fields. Errors call it name and show a valid form.
func parse(raw json.RawMessage, value any, name, form string) error {
	if len(bytes.TrimSpace(raw)) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return fmt.Errorf("no %s: %s", name, form)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(value); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, form)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one value: %s", name, form)
	}
	return nil
}
