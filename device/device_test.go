package device

import (
	"encoding/json"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Device{
		"": {Kind: Auto}, "auto": {Kind: Auto}, "cpu": {Kind: CPU}, "cuda": {Kind: CUDA}, "cuda:0": {Kind: CUDA}, "cuda:11": {Kind: CUDA, Ordinal: 11},
		"cuda_emulated": {Kind: Emulated},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q: %s reads back as %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:+1", "cpu:0", "auto:1", "CUDA", "cuda:70000", "cuda_emulated:0"} {
		if d, err := Parse(text); err == nil {
			t.Errorf("%q was taken for %+v", text, d)
		}
	}
}

func TestJSON(t *testing.T) {
	type run struct {
		Device Device `json:"device,omitzero"`
	}
	for text, want := range map[string]Device{`{"device":"cuda:1"}`: {Kind: CUDA, Ordinal: 1}, `{"device":"cpu"}`: {Kind: CPU}, `{}`: {}} {
		var r run
		if err := json.Unmarshal([]byte(text), &r); err != nil || r.Device != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
		if back, err := json.Marshal(r); err != nil || string(back) != text {
			t.Errorf("%s is written as %s, %v", text, back, err)
		}
	}
	if json.Unmarshal([]byte(`{"device":"tpu"}`), &run{}) == nil {
		t.Error("tpu was taken")
	}
}

func TestVisible(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5f, ")
	for ordinal, want := range []string{"3", "GPU-5f", ""} {
		got, err := Visible(ordinal)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%d: %q, %v; want %q", ordinal, got, err, want)
		}
	}
}
