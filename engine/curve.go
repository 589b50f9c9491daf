package engine

import "slices"

// maxPoints bounds the curve, which is part of every checkpoint, to about 140 kB.
const maxPoints = 1000

// Every says that of n points each Every-th is kept, so that at most about most remain: 1, 2, 4 and so on. It depends on
// nothing else, so that an interrupted run has the same points.
func Every(n, most int) int {
	every := 1
	for n/every > most {
		every *= 2
	}
	return every
}

// add appends the newest step's point and thins out the others. The first point always stays, the newest at least until
// the next one.
func (c *Curve) add(p Point) {
	every := Every(p.Step, maxPoints)
	c.Train = slices.DeleteFunc(c.Train, func(old Point) bool { return old.Step%every != 0 && old.Step != 1 })
	c.Train = append(c.Train, p)
}
