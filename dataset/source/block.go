package source

// maxBlockRows bounds a block of rows that are almost empty.
const maxBlockRows = 64 << 10

// add appends a row that build writes into w.
func (b *Block) add(w *rowJSON, line int64, build func()) {
	row := Row{Line: line}
	if !w.row(build) {
		row.Fault, row.Detail = tooLongFault, tooLongDetail
	}
	b.Rows = append(b.Rows, row)
}

// cut gives the rows their bytes, each up to its end in buf.
func (b *Block) cut(buf []byte, ends []int) {
	start := 0
	for i, end := range ends {
		if b.Rows[i].Fault == "" {
			b.Rows[i].JSON = buf[start:end:end]
		}
		start = end
	}
}

// The fault of a row of more than maxRow bytes.
const tooLongFault, tooLongDetail = "line_too_long", "more than 16 MiB"
