// Package export is what leaves a run. A Bundle names the base, what was trained on it and how far; each format is
// written from it by a package of its own: peft (adapters that PEFT loads), merged (a Hugging Face model). Metadata says
// where they come from.
//
// Export needs no model in memory: it reads a checkpoint and the base's files by mapping, one tensor at a time.
package export

import (
	"fmt"

	"so8t/engine"
	"so8t/engine/checkpoint"
)

// Bundle is what a run leaves.
type Bundle struct {
	BasePath string              // folder in Hugging Face layout
	Plan     *engine.AdapterPlan // what was trained
	Trained  engine.Values
	Position checkpoint.Position
	Curve    engine.Curve
}

// New bundles a checkpoint with the base that it was trained on. The bundle is valid until the state is released; of the
// state's tensors it reads the trained parameters alone.
func New(basePath string, plan *engine.AdapterPlan, s *checkpoint.State) (b *Bundle, err error) {
	b = &Bundle{BasePath: basePath, Plan: plan, Position: s.Position}
	if b.Trained, err = plan.Checkpointed(s); err == nil {
		b.Curve, err = engine.CurveOf(s)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", s.Position.Folder(), err)
	}
	return b, nil
}
