// Package model is a model that answers many requests at once: it steps the engine's scheduler and hands each sequence
// its tokens.
package model

import (
	"context"
	"errors"

	"so8t/device"
	"so8t/engine"
	"so8t/serve/guard"
)

// Options say how a model is held.
type Options struct {
	Path      string // folder in Hugging Face layout
	Device    device.Device
	Threads   int
	Int8      bool // hold linear weights as int8 rows
	Float32   bool // compute in float32
	Slots     int  // sequences decoded at once
	Queue     int  // sequences that wait for a slot; more are refused with guard.ErrBusy
	MaxLength int  // tokens of prompt and answer; 0: the model's, at most 4096
}

// Model implements guard.Model.
type Model struct{}

// Open loads the model. It reads path once: the folder may be replaced afterwards.
func Open(ctx context.Context, o Options) (*Model, error) { return nil, errors.New("not built yet") }

func (m *Model) Digest() string             { return "" }
func (m *Model) Tokenizer() guard.Tokenizer { return nil }
func (m *Model) MaxLength() int             { return 0 }
func (m *Model) Begin(ctx context.Context, r engine.Request) (guard.Sequence, error) {
	return nil, errors.New("not built yet")
}

// Close waits for no sequence: those under way fail.
func (m *Model) Close() error { return nil }
