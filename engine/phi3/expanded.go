package phi3

// KeepExpanded holds each int8 weight in the compute type as well, with its adapter in place, as a product wants it:
// [[w, B], [A, 0]]. Attach the adapters first, and call it before Load and Plan.
func (m *Model) KeepExpanded(on bool) { m.keepExpanded = on }

// cutExpanded gives each weight its expanded matrix. Rows begin on 16 bytes of bfloat16, where the library's own copy has them.
func (m *Model) cutExpanded(a *arena) {
	for i := range m.Layers {
		for _, l := range m.Layers[i].Linears() {
			r := l.columns()
			l.expanded = a.beside(m.compute, l.Out+r, l.In, r)
		}
	}
}

// columns is the width of the adapter's z, 0 without one.
func (l *Linear) columns() int {
	if l.LoRA == nil {
		return 0
	}
	return l.LoRA.Columns()
}

// PlaceAdapter points A and B at their places in the expanded weight.
func (l *Linear) PlaceAdapter() {
	l.LoRA.A = l.expanded.Row(l.Out)
	for i := range l.LoRA.Slices {
		s := &l.LoRA.Slices[i]
		s.B = l.expanded.Row(s.Begin).Column(l.In + i*l.LoRA.Rank)
	}
}
