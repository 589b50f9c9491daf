package native

// Recording is a sequence of operations that one call repeats; on a GPU it is a CUDA graph.
type Recording struct {
	device    *Device
	recording uint64
}

type recordingParams struct{ recording uint64 }

// Record executes the operations that f calls, and records them with their parameters. Uploads, downloads and
// allocations inside f are not recorded.
func (d *Device) Record(f func()) (*Recording, error) {
	p := &recordingParams{}
	call(d, d.library.recordBegin, p)
	if d.err != nil {
		return nil, d.err
	}
	r := &Recording{d, p.recording}
	f()
	if failure := d.err; failure != nil { // close the recording all the same
		d.err = nil
		call(d, d.library.recordDrop, p)
		d.err = failure
		return nil, failure
	}
	call(d, d.library.recordEnd, p)
	return r, d.err
}

// Replay executes the operations again, on the current contents of the same memory.
func (r *Recording) Replay() { call(r.device, r.device.library.replay, &recordingParams{r.recording}) }

// Free forgets the recording.
func (r *Recording) Free() {
	call(r.device, r.device.library.recordDrop, &recordingParams{r.recording})
}
