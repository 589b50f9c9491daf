package engine

import (
	"context"
	"fmt"
	"math"
	"slices"

	"so8t/dataset"
	"so8t/engine/phi3"
)

// scoreSlots is the most prompts scored at once: enough for full speed on a CPU with a small cache.
const scoreSlots = 16

// Score returns the log-probability (natural) of each continuation after each prompt, [prompt][continuation].
func (m *Model) Score(ctx context.Context, prompts, continuations [][]int32) ([][]float64, error) {
	longest := 0
	for i, c := range continuations {
		if len(c) == 0 {
			return nil, fmt.Errorf("score: continuation %d is empty", i)
		}
		longest = max(longest, len(c))
	}
	out := make([][]float64, len(prompts))
	for first := 0; first < len(prompts); {
		n := 0
		err := m.run(ctx, func() error {
			b, err := m.scoreBatch(prompts[first:], longest)
			if n = b.n; err != nil {
				return err
			}
			return m.score(prompts[first:first+n], continuations, b, out[first:first+n])
		})
		if err != nil {
			return nil, fmt.Errorf("score: prompts %d to %d: %w", first, first+max(n, 1)-1, err)
		}
		first += n
	}
	return out, nil
}

// scoreBatch is the next n prompts and the size of their cache.
type scoreBatch struct{ n, capacity, pages int }

// scoreBatch takes as many of the prompts as one pass and the memory allow.
func (m *Model) scoreBatch(prompts [][]int32, longest int) (b scoreBatch, err error) {
	tokens, most := 0, 0
	for _, p := range prompts[:min(len(prompts), scoreSlots)] {
		length := min(len(p)+longest, m.options.MaxLength)
		if b.n == 0 {
			if most, err = m.cachePages(scoreSlots*phi3.Pages(m.options.MaxLength), phi3.Pages(length)); err != nil {
				return b, err
			}
		}
		fits := tokens+len(p) <= m.options.MaxTokens && (b.n+1)*longest <= m.options.MaxTokens && b.pages+phi3.Pages(length) <= most
		if b.n > 0 && !fits {
			break
		}
		tokens += len(p)
		b = scoreBatch{b.n + 1, max(b.capacity, length), b.pages + phi3.Pages(length)}
	}
	return b, nil
}

// score fills a slot with each prompt. It then appends one continuation after another to all of them, each time
// truncating the slots again.
func (m *Model) score(prompts, continuations [][]int32, b scoreBatch, out [][]float64) error {
	cache, err := m.phi.NewCache(len(prompts), b.capacity, b.pages)
	if err != nil {
		return err
	}
	defer m.phi.FreeCache(cache)
	fills := make([]phi3.Piece, len(prompts))
	for i, p := range prompts {
		fills[i] = phi3.Piece{Slot: i, IDs: p}
	}
	if err := m.phi.Fill(cache, fills, m.adapted); err != nil {
		return err
	}
	first, err := m.phi.PickedLogits()
	if err != nil {
		return err
	}
	for i := range out {
		out[i] = make([]float64, len(continuations))
	}
	for j, continuation := range continuations {
		var extensions []phi3.Piece
		for i, prompt := range prompts {
			if m.phi.Outgrows(cache, i, len(continuation)) {
				if out[i][j], err = m.scoreWhole(prompt, continuation); err != nil {
					return err
				}
				continue
			}
			out[i][j] = logProbability(first[i], continuation[0])
			if len(continuation) > 1 {
				extensions = append(extensions, phi3.Piece{Slot: i, IDs: continuation[:len(continuation)-1], Pick: phi3.PickEvery})
			}
		}
		if len(extensions) == 0 {
			continue
		}
		if err := m.phi.Extend(cache, extensions, m.adapted); err != nil {
			return err
		}
		logits, err := m.phi.PickedLogits()
		if err != nil {
			return err
		}
		for _, e := range extensions {
			for k := range e.IDs {
				out[e.Slot][j] += logProbability(logits[0], continuation[k+1])
				logits = logits[1:]
			}
			cache.Truncate(e.Slot, len(prompts[e.Slot]))
		}
	}
	return nil
}

// scoreWhole scores a continuation that outgrows longrope's short factors: in one pass with its prompt.
func (m *Model) scoreWhole(prompt, continuation []int32) (float64, error) {
	ids := slices.Concat(prompt, continuation)
	labels := slices.Concat(slices.Repeat([]int32{phi3.Ignore}, len(prompt)), continuation)
	losses, err := m.phi.Loss([]phi3.Sequence{{IDs: ids, Labels: labels}}, m.adapted)
	sum := 0.0
	for _, l := range losses {
		sum -= float64(l)
	}
	return sum, err
}

// logProbability is log softmax(logits)[id], in float64.
func logProbability(logits []float32, id int32) float64 {
	top := slices.Max(logits)
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l) - float64(top))
	}
	return float64(logits[id]) - float64(top) - math.Log(sum)
}

// Loss returns the summed cross entropy of samples over their targets (labels not −100, shifted by one as
// transformers does) and the number of targets. Samples are packed.
func (m *Model) Loss(ctx context.Context, inputIDs, labels [][]int32) (sum float64, targets int, err error) {
	lengths := make([]int, len(inputIDs))
	for i, ids := range inputIDs {
		if lengths[i] = len(ids); len(ids) > m.options.MaxTokens {
			return 0, 0, fmt.Errorf("loss: sample %d has %d tokens, the model was opened for %d", i, len(ids), m.options.MaxTokens)
		}
	}
	for _, row := range dataset.Pack(lengths, m.options.MaxTokens) {
		sequences := make([]phi3.Sequence, len(row))
		for i, j := range row {
			sequences[i] = phi3.Sequence{IDs: inputIDs[j], Labels: labels[j]}
		}
		err := m.run(ctx, func() error {
			losses, err := m.phi.Loss(sequences, m.adapted)
			for _, l := range losses {
				sum += float64(l)
			}
			targets += len(losses)
			return err
		})
		if err != nil {
			return 0, 0, fmt.Errorf("loss: %w", err)
		}
	}
	return sum, targets, nil
}

// Logits returns float32 logits [sample][position][vocabulary], for comparisons between models.
func (m *Model) Logits(ctx context.Context, inputIDs [][]int32) ([][][]float32, error) {
	out := make([][][]float32, len(inputIDs))
	for i, ids := range inputIDs {
		err := m.run(ctx, func() (err error) {
			out[i], err = m.phi.Logits([]phi3.Sequence{{IDs: ids}}, m.adapted)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("logits of sample %d: %w", i, err)
		}
	}
	return out, nil
}
