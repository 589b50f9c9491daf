package engine

import "slices"

// queue holds the requests that wait for a slot: first those that were put back, then one of each client in turn, a
// client's own in their order.
type queue struct {
	returned []*sequence // the first is next
	lines    []*line     // none is empty; the first is next
}

type line struct {
	client   string
	requests []*sequence
}

func (w *queue) add(q *sequence) {
	for _, l := range w.lines {
		if l.client == q.Client {
			l.requests = append(l.requests, q)
			return
		}
	}
	w.lines = append(w.lines, &line{q.Client, []*sequence{q}})
}

func (w *queue) putBack(q *sequence) { w.returned = slices.Insert(w.returned, 0, q) }

// next is the request whose turn it is, nil if none waits.
func (w *queue) next() *sequence {
	switch {
	case len(w.returned) > 0:
		return w.returned[0]
	case len(w.lines) > 0:
		return w.lines[0].requests[0]
	}
	return nil
}

// take removes what next returns; its client comes last now.
func (w *queue) take() {
	if len(w.returned) > 0 {
		w.returned = w.returned[1:]
		return
	}
	l := w.lines[0]
	w.lines, l.requests = w.lines[1:], l.requests[1:]
	if len(l.requests) > 0 {
		w.lines = append(w.lines, l)
	}
}

// remove drops the requests that f names.
func (w *queue) remove(f func(*sequence) bool) {
	w.returned = slices.DeleteFunc(w.returned, f)
	for _, l := range w.lines {
		l.requests = slices.DeleteFunc(l.requests, f)
	}
	w.lines = slices.DeleteFunc(w.lines, func(l *line) bool { return len(l.requests) == 0 })
}
