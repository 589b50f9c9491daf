package phi3

import (
	"fmt"
	"math"

	"so8t/native"
)

// runLayers embeds the uploaded row and runs every layer; the residual stream ends in scratch.output.
func (m *Model) runLayers(p *pass) {
	m.device.GatherRows(&native.GatherRows{Rows: int64(p.rows), Columns: int64(m.Config.HiddenSize), XRows: int64(m.Config.VocabSize),
		Index: m.batch.ids, X: m.embed, Y: m.inputs[0]})
	for i := range m.Layers {
		s := m.activationsOf(i)
		m.layerForward(p, i, s)
		m.forward(p, i, &m.Layers[i].Down, s.hidden, m.outputOf(i), s.mid)
	}
}

// layerForward computes a layer up to the input of down_proj: all that its backward pass reads.
func (m *Model) layerForward(p *pass, i int, s *activations) {
	l := &m.Layers[i]
	m.rmsnorm(p.rows, s.input, l.norm1, s.norm1, s.rstd1)
	m.forward(p, i, &l.QKV, s.norm1, s.qkv, native.Tensor{})
	m.device.RopeForward(m.ropeOf(p.rows, s.qkv))
	m.attend(p, i, s)
	m.afterAttention(p, i, s)
}

// layerAgain recomputes the activations of a layer that were not saved, and z of down_proj.
func (m *Model) layerAgain(p *pass, i int, s *activations) {
	l := &m.Layers[i]
	if m.saves == SavedAttention {
		m.rmsnorm(p.rows, s.input, l.norm1, s.norm1, s.rstd1)
		if l.QKV.LoRA != nil {
			m.loraDown(p, i, &l.QKV, s.norm1)
		}
		m.afterAttention(p, i, s)
	} else {
		m.layerForward(p, i, s)
	}
	if l.Down.LoRA != nil {
		m.loraDown(p, i, &l.Down, s.hidden)
	}
}

// afterAttention computes a layer from attention's output on.
func (m *Model) afterAttention(p *pass, i int, s *activations) {
	l, d, c := &m.Layers[i], m.device, m.Config
	rotated := s.attention
	if l.Gate != nil && p.adapter {
		rotated = s.rotated
		d.RotateForward(&native.RotateForward{Rows: int64(p.rows), Blocks: m.blocks(), X: s.attention, Rotation: l.Gate.Rotation, Y: rotated})
	}
	m.forward(p, i, &l.O, rotated, s.mid, s.input)
	m.rmsnorm(p.rows, s.mid, l.norm2, s.norm2, s.rstd2)
	m.forward(p, i, &l.GateUp, s.norm2, s.gateUp, native.Tensor{})
	d.SwiGLUForward(&native.SwiGLUForward{Rows: int64(p.rows), Columns: int64(c.IntermediateSize), GateUp: s.gateUp, Y: s.hidden})
}

func (m *Model) rmsnorm(rows int, x, weight, y, rstd native.Tensor) {
	m.device.RMSNormForward(&native.RMSNormForward{Rows: int64(rows), Columns: int64(m.Config.HiddenSize), X: x, Weight: weight, Y: y, RStd: rstd,
		Epsilon: m.Config.RMSNormEps})
}

// ropeOf rotates q and k, which are adjacent columns of the fused qkv.
func (m *Model) ropeOf(rows int, qkv native.Tensor) *native.Rope {
	c := m.Config
	return &native.Rope{Rows: int64(rows), Heads: int64(c.NumAttentionHeads + c.NumKeyValueHeads), HeadDim: int64(c.HeadDim()), RotaryDim: int64(c.RotaryDim()),
		TableRows: int64(m.rope.rows()), X: qkv, Cos: m.rope.cos, Sin: m.rope.sin, Index: m.batch.rope}
}

// splitQKV gives views of the fused rows: queries, keys and values.
func (m *Model) splitQKV(qkv native.Tensor) (q, k, v native.Tensor) {
	c := m.Config
	return qkv, qkv.Column(c.HiddenSize), qkv.Column(c.HiddenSize + c.KVSize())
}

func (m *Model) scale() float64 { return 1 / math.Sqrt(float64(m.Config.HeadDim())) }

func (m *Model) attend(p *pass, i int, s *activations) {
	c := m.Config
	q, k, v := m.splitQKV(s.qkv)
	if p.cache != nil {
		p.cache.store(m, p.rows, i, k, v)
		if !p.fill {
			p.cache.attend(m, p.rows, i, q, s.attention)
			return
		}
	}
	longest := m.batch.longest
	if p.cache != nil {
		longest = 0 // an answer's bits must not depend on how long the prompts beside it are
	}
	m.device.AttentionForward(&native.AttentionForward{Rows: int64(p.rows), Sequences: int64(m.batch.sequences), Heads: int64(c.NumAttentionHeads),
		KVHeads: int64(c.NumKeyValueHeads), HeadDim: int64(c.HeadDim()), Longest: int64(longest), Window: int64(c.SlidingWindow), Scale: m.scale(),
		Q: q, K: k, V: v, CuSeqlens: m.batch.cuSeqlens, Out: s.attention, LSE: s.lse.WithStride(p.rows)})
}

// pick gathers and normalises the picked rows, so that lm_head runs on no others.
func (m *Model) pick() {
	s, n := &m.scratch, m.batch.pickedRows
	m.device.GatherRows(&native.GatherRows{Rows: int64(n), Columns: int64(m.Config.HiddenSize), XRows: int64(m.batch.rows), Index: m.batch.picked,
		X: s.output, Y: s.picked})
	m.rmsnorm(n, s.picked, m.norm, s.pickedN, s.pickedR)
}

// chunks calls f for the picked rows [first, first+n), as many at once as the logits' buffer holds.
func (m *Model) chunks(f func(first, n int) error) error {
	for first := 0; first < m.batch.pickedRows; first += m.scratch.logitRows {
		if err := f(first, min(m.scratch.logitRows, m.batch.pickedRows-first)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) lmHead(first, n int, logits native.Tensor) {
	c := m.Config
	m.device.LinearForward(&native.LinearForward{Rows: int64(n), In: int64(c.HiddenSize), Out: int64(c.VocabSize), X: m.scratch.pickedN.Row(first),
		W: m.head, Y: logits})
}

// pack makes one row of whole sequences.
func (m *Model) pack(sequences []Sequence) (*row, error) {
	r := &row{}
	for _, s := range sequences {
		if err := m.checkLength(len(s.IDs)); err != nil {
			return nil, err
		}
		if s.Labels != nil && len(s.Labels) != len(s.IDs) {
			return nil, fmt.Errorf("a sequence of %d tokens has %d labels", len(s.IDs), len(s.Labels))
		}
		r.append(m.rope.base(len(s.IDs)), s, 0)
	}
	return r, nil
}

func (m *Model) checkLength(n int) error {
	if n < 1 || n > m.options.MaxLength {
		return fmt.Errorf("a sequence of %d tokens; the model was loaded for 1 to %d", n, m.options.MaxLength)
	}
	return nil
}

// Loss runs packed sequences without gradients and returns the loss of each target, in order; with adapter, LoRA and gates
// take part.
func (m *Model) Loss(sequences []Sequence, adapter bool) ([]float32, error) {
	r, err := m.pack(sequences)
	if err != nil {
		return nil, err
	}
	if err := m.upload(r); err != nil {
		return nil, err
	}
	m.runLayers(&pass{rows: m.batch.rows, adapter: adapter})
	m.pick()
	s := &m.scratch
	if err := m.chunks(func(first, n int) error {
		m.lmHead(first, n, s.logits)
		m.device.CrossEntropyForward(&native.CrossEntropy{Rows: int64(n), Columns: int64(m.Config.VocabSize), Logits: s.logits,
			Target: m.batch.target.Column(first), Loss: s.loss.Column(first)})
		return nil
	}); err != nil {
		return nil, err
	}
	return m.losses()
}

func (m *Model) losses() ([]float32, error) {
	loss := make([]float32, m.batch.pickedRows)
	if len(loss) == 0 {
		return nil, m.device.Err()
	}
	return loss, native.Download(m.device, loss, m.scratch.loss)
}

// Logits returns float32 logits [tokens][V] of packed sequences, all rows.
func (m *Model) Logits(sequences []Sequence, adapter bool) ([][]float32, error) {
	r, err := m.pack(sequences)
	if err != nil {
		return nil, err
	}
	r.picked, r.target = nil, nil
	for i := range r.ids {
		r.picked = append(r.picked, int32(i))
	}
	if err := m.upload(r); err != nil {
		return nil, err
	}
	m.runLayers(&pass{rows: m.batch.rows, adapter: adapter})
	return m.PickedLogits()
}

// Sampling is how the next token of a row is chosen.
type Sampling struct {
	Temperature float64 // 0: the likeliest token
	TopP        float64 // softmax(logits / Temperature) is cut to this nucleus: see native.Sample
	U           float32 // the random number in [0, 1) that the draw uses
}

// PickedLogits computes float32 logits of the last pass's picked rows and copies them to the host.
func (m *Model) PickedLogits() ([][]float32, error) {
	m.pick()
	var out [][]float32
	err := m.chunks(func(first, n int) error {
		m.lmHead(first, n, m.scratch.logits32)
		flat := make([]float32, n*m.Config.VocabSize)
		if err := native.Download(m.device, flat, m.scratch.logits32); err != nil {
			return err
		}
		for i := range n {
			out = append(out, flat[i*m.Config.VocabSize:(i+1)*m.Config.VocabSize])
		}
		return nil
	})
	return out, err
}

// Picked chooses the next tokens of the first len(how) picked rows of the last pass. The others must have targets: it
// returns the log-probabilities of those, in nats.
func (m *Model) Picked(how []Sampling) (ids []int32, targets []float32, err error) {
	all := m.batch.pickedRows
	if all == 0 && len(how) == 0 {
		return nil, nil, nil
	}
	if len(how) > all || all > max(len(how), m.batch.targets) {
		return nil, nil, fmt.Errorf("sampling of %d rows: %d were picked, %d with targets", len(how), all, m.batch.targets)
	}
	m.pick()
	s := &m.scratch
	ids, targets = make([]int32, len(how)), make([]float32, all-len(how))
	err = m.chunks(func(first, n int) error {
		m.lmHead(first, n, s.logits32)
		sampled := max(0, min(n, len(how)-first))
		if sampled < n {
			m.device.CrossEntropyForward(&native.CrossEntropy{Rows: int64(n - sampled), Columns: int64(m.Config.VocabSize), Logits: s.logits32.Row(sampled),
				Target: m.batch.target.Column(first + sampled), Loss: s.loss.Column(first + sampled)})
		}
		if sampled == 0 {
			return nil
		}
		if err := m.sample(how[first : first+sampled]); err != nil {
			return err
		}
		return native.Download(m.device, ids[first:first+sampled], s.choice)
	})
	if err == nil && len(targets) > 0 {
		err = native.Download(m.device, targets, s.loss.Column(len(how)))
	}
	for i := range targets {
		targets[i] = -targets[i]
	}
	return ids, targets, err
}

// sample chooses a token of each of the first rows of the logits, neighbours of one kind together.
func (m *Model) sample(how []Sampling) error {
	s, d, vocab := &m.scratch, m.device, int64(m.Config.VocabSize)
	for from, to := 0, 0; from < len(how); from = to {
		h := how[from]
		for to = from; to < len(how) && how[to].Temperature == h.Temperature && how[to].TopP == h.TopP; to++ {
		}
		rows, x, index := int64(to-from), s.logits32.Row(from), s.choice.Column(from)
		if h.Temperature == 0 {
			d.Argmax(&native.Argmax{Rows: rows, Columns: vocab, X: x, Index: index})
			continue
		}
		u := make([]float32, 0, to-from)
		for _, row := range how[from:to] {
			u = append(u, row.U)
		}
		if err := native.Upload(d, s.u.Column(from), u); err != nil {
			return err
		}
		d.Sample(&native.Sample{Rows: rows, Columns: vocab, X: x, U: s.u.Column(from), Index: index, Temperature: h.Temperature, TopP: h.TopP})
	}
	return nil
}
