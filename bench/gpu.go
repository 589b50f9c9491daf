package main

import (
	"sync"
	"time"

	"so8t/native/nvml"
)

// watch reads a GPU's memory and power ten times a second. A nil one knows nothing.
type watch struct {
	device   *nvml.Device
	stop     chan struct{}
	watching sync.WaitGroup

	mu    sync.Mutex
	bytes uint64
	watts float64
}

func watchGPU(d *nvml.Device) *watch {
	if d == nil {
		return nil
	}
	w := &watch{device: d, stop: make(chan struct{})}
	w.watching.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			s := d.Sample()
			w.mu.Lock()
			if s.MemoryUsedBytes != nil {
				w.bytes = max(w.bytes, *s.MemoryUsedBytes)
			}
			if s.PowerWatts != nil {
				w.watts = max(w.watts, *s.PowerWatts)
			}
			w.mu.Unlock()
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
		}
	})
	return w
}

// since is the most memory and power in use since it was asked last.
func (w *watch) since() (bytes *uint64, watts *float64) {
	if w == nil {
		return nil, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bytes > 0 {
		bytes = new(w.bytes)
	}
	if w.watts > 0 {
		watts = new(w.watts)
	}
	w.bytes, w.watts = 0, 0
	return bytes, watts
}

func (w *watch) end() {
	if w != nil {
		close(w.stop)
		w.watching.Wait()
	}
}
