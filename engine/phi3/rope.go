package phi3

import (
	"math"

	"so8t/native"
)

// ropeTable holds cos and sin for every position; for longrope twice: rows [0, positions) with the short factors, rows
// [positions, 2·positions) with the long ones. As in transformers, a sequence longer than
// original_max_position_embeddings uses the long ones for all its positions.
type ropeTable struct {
	positions   int
	long        bool
	originalMax int
	buffer      native.Buffer
	cos, sin    native.Tensor // float32 [rows, rotary dimensions / 2]
}

func newRopeTable(d *native.Device, c *Config, positions int) (*ropeTable, error) {
	t := &ropeTable{positions: positions, long: c.Rope.LongRope, originalMax: c.Rope.OriginalMax}
	half := c.RotaryDim() / 2
	short, long := make([]float64, half), make([]float64, half)
	for i := range short {
		short[i], long[i] = 1, 1
	}
	if t.long {
		short, long = c.Rope.ShortFactor, c.Rope.LongFactor
	}
	values := make([]float32, 0, 2*t.rows()*half)
	for _, f := range []func(float64) float64{math.Cos, math.Sin} {
		for row := range t.rows() {
			factors, position := short, row
			if row >= positions {
				factors, position = long, row-positions
			}
			for j := range half {
				// in float32 step by step, as transformers does: at position 100,000 the rounding shows
				power := float32(math.Pow(c.Rope.Theta, float64(float32(2*j)/float32(c.RotaryDim()))))
				inverse := 1 / (float32(factors[j]) * power)
				angle := float32(position) * inverse
				values = append(values, float32(f(float64(angle)))*float32(c.Rope.AttentionFactor))
			}
		}
	}
	buffer, err := d.Alloc(int64(len(values))*4, "rope table")
	if err != nil {
		return nil, err
	}
	t.buffer = buffer
	t.cos = buffer.Tensor(native.Float32, 0, half)
	t.sin = buffer.Tensor(native.Float32, t.rows()*half, half)
	return t, native.Upload(d, t.cos, values)
}

// ropeBytes is the table's memory.
func ropeBytes(c *Config, positions int) int64 {
	t := ropeTable{positions: positions, long: c.Rope.LongRope}
	return int64(2*t.rows()*(c.RotaryDim()/2)) * int64(native.Float32.Size())
}

func (t *ropeTable) rows() int {
	if t.long {
		return 2 * t.positions
	}
	return t.positions
}

// base is the table row of position 0 for a sample of the given length.
func (t *ropeTable) base(length int) int {
	if t.long && length > t.originalMax {
		return t.positions
	}
	return 0
}
