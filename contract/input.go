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
}

const inputForm = `want {"config": "configs/….yaml", "set": {"training.seed": 1}}`

// ParseInput reads the JSON input of a workflow. Unknown fields are refused.
func ParseInput(raw json.RawMessage) (RunInput, error) {
	var in RunInput
	if len(bytes.TrimSpace(raw)) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return in, fmt.Errorf("no input: %s", inputForm)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, fmt.Errorf("input: %w: %s", err, inputForm)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return in, fmt.Errorf("input: more than one value: %s", inputForm)
	}
	if in.Config == "" {
		return in, fmt.Errorf("input: config is missing: %s", inputForm)
	}
	return in, nil
}
