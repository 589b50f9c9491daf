package engine

import "slices"

// maxPoints bounds the curve, which is written with every checkpoint: about 140 kB.
const maxPoints = 1000

// Every is the distance of the points that are kept of n: 1 as long as there are no more
// than most, then 2, 4 and so on. It depends on nothing else, so that a run that was killed
// keeps the same points.
func Every(n, most int) int {
	every := 1
	for n/every > most {
		every *= 2
	}
	return every
}

// add appends the newest step's point, which stays at least until the next one; the first
// stays for good.
func (c *Curve) add(p Point) {
	every := Every(p.Step, maxPoints)
	c.Train = slices.DeleteFunc(c.Train, func(old Point) bool { return old.Step%every != 0 && old.Step != 1 })
	c.Train = append(c.Train, p)
}
