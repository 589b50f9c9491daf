package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"so8t/device"
	"so8t/native"
)

// productsCommand takes the best of several runs of this engine's matrix products. Shapes are those of matmul_peak.py.
type productsCommand struct {
	Threads int     `help:"0: all."`
	Seconds float64 `default:"0.5" help:"For each shape."`
}

// product is the fastest matrix product of a kind on this machine.
type product struct {
	By     string  `json:"by"`     // PyTorch, or so8t
	Type   string  `json:"type"`   // float32 or bfloat16, of the factors that are multiplied
	Weight string  `json:"weight"` // type in which the second factor is held
	GFLOPS float64 `json:"gflops"`
}

// productsResult is products' last line, and that of matmul_peak.py.
type productsResult struct {
	Products []product `json:"products"`
	OneDNN   string    `json:"onednn,omitempty"` // file of the library that the CPU library links, with its version
}

// Run prints a productsResult.
func (c *productsCommand) Run() error {
	d, err := native.Open(native.Options{Device: device.Device{Kind: device.CPU}, Threads: c.Threads})
	if err != nil {
		return err
	}
	defer d.Close()
	var r productsResult
	names := map[native.DType]string{native.Float32: "float32", native.BFloat16: "bfloat16", native.Int8: "int8"}
	for _, kind := range []struct{ x, w native.DType }{{native.Float32, native.Float32}, {native.BFloat16, native.BFloat16}, {native.BFloat16, native.Int8}} {
		p := product{By: "so8t", Type: names[kind.x], Weight: names[kind.w]}
		for _, size := range [][3]int64{{512, 2304, 768}, {1024, 4096, 1024}, {2048, 3072, 3072}} {
			rate, err := c.fastest(d, kind.x, kind.w, size[0], size[1], size[2])
			if err != nil {
				return fmt.Errorf("products: %s by %s weights: %w", p.Type, p.Weight, err)
			}
			p.GFLOPS = max(p.GFLOPS, rate)
		}
		fmt.Printf("%s by %s weights: %.0f GFLOP/s\n", p.Type, p.Weight, p.GFLOPS)
		r.Products = append(r.Products, p)
	}
	if r.OneDNN, err = mappedLibrary("libdnnl.so"); err != nil {
		return err
	}
	return printJSON(r)
}

// fastest multiplies x [m, k] by wᵀ, w [n, k], for c.Seconds and returns GFLOP/s of the best time.
func (c *productsCommand) fastest(d *native.Device, xType, wType native.DType, m, n, k int64) (float64, error) {
	x, err := randomMatrix(d, xType, m, k)
	if err != nil {
		return 0, err
	}
	w, err := randomMatrix(d, wType, n, k)
	if err != nil {
		return 0, err
	}
	y, err := d.Alloc(m*n*int64(xType.Size()), "product")
	if err != nil {
		return 0, err
	}
	p := native.LinearForward{Rows: m, In: k, Out: n, X: x.values, W: w.values, WAbsmax: w.absmax, Y: y.Tensor(xType, 0, int(n))}
	fastest := time.Duration(1<<63 - 1)
	for begun := time.Now(); time.Since(begun).Seconds() < c.Seconds || fastest == 1<<63-1; {
		start := time.Now()
		d.LinearForward(&p)
		if err := d.Synchronize(); err != nil {
			return 0, err
		}
		fastest = min(fastest, time.Since(start))
	}
	return 2 * float64(m) * float64(n) * float64(k) / fastest.Seconds() / 1e9, nil
}

// matrix is on the device; absmax is there for int8 rows only.
type matrix struct{ values, absmax native.Tensor }

// randomMatrix is normal, [rows, columns].
func randomMatrix(d *native.Device, dtype native.DType, rows, columns int64) (m matrix, err error) {
	tensor := func(t native.DType, n int64) native.Tensor {
		buffer, failed := d.Alloc(n*int64(t.Size()), "product")
		if failed != nil {
			err = failed
			return native.Tensor{}
		}
		return buffer.Tensor(t, 0, int(n/rows))
	}
	normal := tensor(native.Float32, rows*columns)
	m.values = normal
	if dtype != native.Float32 {
		m.values = tensor(dtype, rows*columns)
	}
	if dtype == native.Int8 {
		m.absmax = tensor(native.Float32, rows)
	}
	if err != nil {
		return m, err
	}
	random, values := rand.New(rand.NewPCG(1, 2)), make([]float32, rows*columns)
	for i := range values {
		values[i] = float32(random.NormFloat64())
	}
	if err := native.Upload(d, normal, values); err != nil {
		return m, err
	}
	switch dtype {
	case native.BFloat16:
		d.Cast(&native.Cast{Rows: rows, Columns: columns, X: normal, Y: m.values})
	case native.Int8:
		d.QuantizeRows(&native.QuantizeRows{Rows: rows, Columns: columns, X: normal, Q: m.values, Absmax: m.absmax})
	}
	return m, d.Synchronize()
}

// peak is the fastest product of a number type. A product in bfloat16 can also be had at the speed of float32, by casting its
// factors, and is on a CPU without bfloat16 instructions.
func peak(products []product, numberType string) (best product) {
	for _, p := range products {
		if (p.Type == numberType || p.Type == "float32") && p.GFLOPS > best.GFLOPS {
			best = p
		}
	}
	return best
}
