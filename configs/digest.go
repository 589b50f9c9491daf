package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// Values of the tag digest, at a key or a section. A key without the tag decides the trained weights, and with them everything else.
const (
	decidesNothing = "-"       // of the results: paths, whose contents have digests of their own, logging, memory, speed
	decidesVerdict = "verdict" // figures and verdict, but not the weights
)

// Digest names everything that decides a run's results: two configs of one digest give
// the same adapter and the same verdict.
//
// Checkpoints and finished runs carry digests, so a digest must not change when a key is added: a new key is written
// with omitzero, and its zero value means what was done before there was the key.
func (c *Config) Digest() string { return c.digestWithout(decidesNothing) }

// TrainingDigest names what decides the trained weights alone, so that a checkpoint
// outlives a change of the evaluation or of the promotion gate.
func (c *Config) TrainingDigest() string { return c.digestWithout(decidesNothing, decidesVerdict) }

func (c *Config) digestWithout(tags ...string) string {
	r := *c
	zero(reflect.ValueOf(&r).Elem(), tags)
	r.Training.FP16, r.Training.BF16 = !c.Float32(), false
	r.Device, _, _ = strings.Cut(c.Device, ":") // which GPU computes changes no result
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers, strings and booleans: validated to be finite
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// zero clears the fields that carry one of the tags.
func zero(v reflect.Value, tags []string) {
	for i := range v.NumField() {
		switch f := v.Type().Field(i); {
		case slices.Contains(tags, f.Tag.Get("digest")):
			v.Field(i).SetZero()
		case f.Type.Kind() == reflect.Struct:
			zero(v.Field(i), tags)
		}
	}
}
