package main

import (
	"encoding/binary"
	"math"
	"testing"

	"so8t/engine/safetensors"
)

func TestFloat16(t *testing.T) {
	for _, c := range []struct {
		x    float32
		want uint16
	}{{0, 0}, {1, 0x3C00}, {1 + 1.0/2048, 0x3C00}, {1 + 3.0/2048, 0x3C02}, {65504, 0x7BFF},
		{1.0 / (1 << 14), 0x0400}, {1.0 / (1 << 24), 1}, {1.0 / (1 << 26), 0}} {
		if got := float16(c.x); got != c.want {
			t.Errorf("%v is %#x, want %#x", c.x, got, c.want)
		}
	}
}

// TestGGUFData: a matrix in Q8_0 is within half a step of each number, and a vector is exact.
func TestGGUFData(t *testing.T) {
	values := []uint16{}
	for i := range 2 * q8Block {
		values = append(values, bfloat16(float32(math.Sin(float64(i)))*float32(1+i/q8Block)))
	}
	data, _ := binary.Append(nil, binary.LittleEndian, values)
	at := func(i int) float64 { return float64(math.Float32frombits(uint32(values[i]) << 16)) }
	matrix := ggufData(data, safetensors.Spec{Shape: []int64{2, q8Block}})
	if len(matrix) != 2*q8BlockBytes {
		t.Fatalf("%d bytes", len(matrix))
	}
	for i := range values {
		block := matrix[i/q8Block*q8BlockBytes:]
		bits := uint32(binary.LittleEndian.Uint16(block))
		scale := float64(math.Float32frombits(bits<<13 + (127-15)<<23))
		got := scale * float64(int8(block[2+i%q8Block]))
		if math.Abs(got-at(i)) > 0.51*scale+1e-3*math.Abs(at(i)) {
			t.Errorf("number %d is %v, want %v within half of %v", i, got, at(i), scale)
		}
	}
	vector := ggufData(data, safetensors.Spec{Shape: []int64{2 * q8Block}})
	for i := range values {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(vector[4*i:])); float64(got) != at(i) {
			t.Errorf("number %d of a vector is %v, want %v", i, got, at(i))
		}
	}
}
