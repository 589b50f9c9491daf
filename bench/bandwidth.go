package main

import (
	"time"

	"so8t/device"
	"so8t/native"
)

// bandwidthCommand takes the best of several passes of so8t_cast over a large matrix.
type bandwidthCommand struct {
	Device  device.Device `default:"cpu" help:"cpu, cuda, cuda:N or auto."`
	Threads int           `help:"0: all."`
	Bytes   int64         `default:"1073741824" help:"Of the matrix that is read; far more than any cache."`
}

// bandwidthResult is the most that the memory moved, bytes read and written.
type bandwidthResult struct {
	BytesPerSecond float64 `json:"bytes_per_second"`
	ReadPerSecond  float64 `json:"bytes_read_per_second"` // by a pass that writes half of what it reads
	Bytes          int64   `json:"bytes"`
	Device         string  `json:"device"`
	ISA            string  `json:"isa"`
}

// Run prints a bandwidthResult.
func (c *bandwidthCommand) Run() error {
	d, err := native.Open(native.Options{Device: c.Device, Threads: c.Threads})
	if err != nil {
		return err
	}
	defer d.Close()
	const columns = 4096
	rows := c.Bytes / 4 / columns
	from, err := d.Alloc(rows*columns*4, "bandwidth")
	if err != nil {
		return err
	}
	to, err := d.Alloc(rows*columns*4, "bandwidth")
	if err != nil {
		return err
	}
	pass := func(x, y native.DType) (float64, error) { // bytes a second
		const times = 5
		best := 0.0
		for range 3 {
			if err := d.Synchronize(); err != nil {
				return 0, err
			}
			start := time.Now()
			for range times {
				d.Cast(&native.Cast{Rows: rows, Columns: columns, X: from.Tensor(x, 0, columns), Y: to.Tensor(y, 0, columns)})
			}
			if err := d.Synchronize(); err != nil {
				return 0, err
			}
			moved := float64(times * rows * columns * int64(x.Size()+y.Size()))
			best = max(best, moved/time.Since(start).Seconds())
		}
		return best, nil
	}
	copied, err := pass(native.Float32, native.Float32)
	if err != nil {
		return err
	}
	cast, err := pass(native.Float32, native.BFloat16)
	if err != nil {
		return err
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	return printJSON(bandwidthResult{BytesPerSecond: max(copied, cast), ReadPerSecond: cast * 2 / 3, Bytes: rows * columns * 4,
		Device: info.Name, ISA: info.ISA})
}
