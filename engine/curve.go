package engine

// maxPoints bounds the curve, which is written with every checkpoint: about 300 kB.
const maxPoints = 2000

// Kept reports whether a run that has come to step n keeps its point of step i: of more than
// most steps every second, of more than twice that every fourth, and so on, and the first.
// It depends on nothing else, so that a run that was killed keeps the same points.
func Kept(i, n, most int) (keep bool) {
	every := 1
	for n/every > most {
		every *= 2
	}
	return i%every == 0 || i == 1
}

// add appends the newest step's point, which stays at least until the next one.
func (c *Curve) add(p Point) {
	kept := c.Train[:0]
	for _, old := range c.Train {
		if Kept(old.Step, p.Step, maxPoints) {
			kept = append(kept, old)
		}
	}
	c.Train = append(kept, p)
}
