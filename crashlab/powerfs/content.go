package powerfs

import (
	"bytes"
	"math/rand/v2"
	"slices"
)

const (
	sectorSize = 512
	chunkSize  = 64 << 10
	blockSize  = 4 << 10 // what the quota counts in
)

// content is a file's bytes. Two contents may share chunks; a writer copies a shared one first. The
// last chunk is zero behind the size.
type content struct {
	size   int64
	chunks []*[chunkSize]byte // nil or missing: zeros
}

func (c *content) share() content { return content{c.size, slices.Clone(c.chunks)} }

func (c *content) chunk(i int) *[chunkSize]byte {
	if i < len(c.chunks) {
		return c.chunks[i]
	}
	return nil
}

// own returns chunk i for writing: a copy, if other shares it.
func (c *content) own(i int, other *content) *[chunkSize]byte {
	for len(c.chunks) <= i {
		c.chunks = append(c.chunks, nil)
	}
	switch {
	case c.chunks[i] == nil:
		c.chunks[i] = new([chunkSize]byte)
	case other.chunk(i) == c.chunks[i]:
		copied := *c.chunks[i]
		c.chunks[i] = &copied
	}
	return c.chunks[i]
}

func (c *content) readAt(p []byte, off int64) int {
	n := int(max(0, min(int64(len(p)), c.size-off)))
	for done := 0; done < n; {
		i, at := int((off+int64(done))/chunkSize), int((off+int64(done))%chunkSize)
		part := p[done:min(n, done+chunkSize-at)]
		if chunk := c.chunk(i); chunk != nil {
			copy(part, chunk[at:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	return n
}

func (c *content) writeAt(p []byte, off int64, other *content) {
	c.size = max(c.size, off+int64(len(p)))
	for len(p) > 0 {
		at := int(off % chunkSize)
		n := copy(c.own(int(off/chunkSize), other)[at:], p)
		p, off = p[n:], off+int64(n)
	}
}

func (c *content) resize(size int64, other *content) {
	if size < c.size {
		full := int((size + chunkSize - 1) / chunkSize)
		c.chunks = c.chunks[:min(full, len(c.chunks))]
		if i, at := int(size/chunkSize), size%chunkSize; at > 0 && c.chunk(i) != nil {
			clear(c.own(i, other)[at:])
		}
	}
	c.size = size
}

func (c *content) same(o *content) bool {
	if c.size != o.size {
		return false
	}
	for i := range max(len(c.chunks), len(o.chunks)) {
		if c.chunk(i) != o.chunk(i) {
			return false
		}
	}
	return true
}

// torn returns what a disk may hold of a file: durable was synced last, the smallest size since then was
// lowest, and live is its content now.
func torn(rng *rand.Rand, durable, live *content, lowest int64, report *Report) content {
	switch rng.IntN(4) {
	case 0:
		return durable.share()
	case 1:
		return live.share()
	}
	report.FilesTorn++
	base := durable.share()
	if lowest < durable.size && rng.IntN(2) == 0 { // the truncation got to the disk
		base.resize(lowest, durable)
	}
	size := base.size
	switch least, most := min(base.size, live.size), max(base.size, live.size); rng.IntN(3) {
	case 0:
		size = live.size
	case 1:
		size = least + rng.Int64N(most-least+1)
	}
	result := base.share()
	result.size = max(base.size, live.size)
	var zeros [sectorSize]byte
	for i := range live.chunks {
		if live.chunks[i] == base.chunk(i) {
			continue
		}
		for at := 0; at < chunkSize && int64(i)*chunkSize+int64(at) < live.size; at += sectorSize {
			now, then := zeros[:], zeros[:]
			if live.chunks[i] != nil {
				now = live.chunks[i][at : at+sectorSize]
			}
			if base.chunk(i) != nil {
				then = base.chunk(i)[at : at+sectorSize]
			}
			if bytes.Equal(now, then) {
				continue
			}
			if rng.IntN(2) == 0 {
				report.SectorsLost++
				continue
			}
			report.SectorsKept++
			copy(result.own(i, &base)[at:], now)
		}
	}
	result.resize(size, &base)
	return result
}
