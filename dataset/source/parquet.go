package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetRows reads the rows of a Parquet file.
type parquetRows struct {
	data   *parquetFile
	file   *parquet.File
	meta   *format.FileMetaData
	schema *parquetField
	leaves []*parquetField // of schema: one a column
	size   int64           // bytes on disk of the input, compressed where it is

	group   int // that is read
	rows    parquet.Rows
	left    int64 // rows of the group that have not been decoded
	batch   []parquet.Row
	pending []parquet.Row // decoded, of batch
	row     int64         // of the file: the next
	total   int64
	columns []cursor
}

// parquetBatch rows are decoded at a time.
const parquetBatch = 32

func openParquet(ctx context.Context, file File, from Position) (_ rows, err error) {
	f, err := openParquetFile(ctx, file)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			f.Close()
			panic(r)
		}
		if err != nil {
			f.Close()
		}
	}()
	p := &parquetRows{data: f, size: file.Size, row: from.Offset, batch: make([]parquet.Row, parquetBatch)}
	if p.meta, err = readFooter(f, f.size); err != nil {
		return nil, err
	}
	if p.schema, err = newParquetSchema(p.meta.Schema); err != nil {
		return nil, err
	}
	if p.file, err = parquet.OpenFile(f, f.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.OptimisticRead(false)); err != nil {
		return nil, err
	}
	p.leaves = p.schema.leaves(nil)
	p.columns = make([]cursor, len(p.leaves))
	for _, g := range p.file.RowGroups() {
		if g.NumRows() < 0 || g.NumRows() > math.MaxInt64/2-p.total {
			return nil, errThrift
		}
		p.total += g.NumRows()
	}
	return p, p.seek()
}

// seek goes to the row group that holds the next row.
func (p *parquetRows) seek() error {
	before := int64(0)
	for i, g := range p.file.RowGroups() {
		if before+g.NumRows() > p.row {
			p.group = i
			return p.open(p.row - before)
		}
		before += g.NumRows()
	}
	p.group = len(p.file.RowGroups())
	return nil
}

// open goes to a row of the current row group.
func (p *parquetRows) open(row int64) error {
	if err := checkPages(p.data, p.data.size, &p.meta.RowGroups[p.group], p.leaves); err != nil {
		return err
	}
	g := p.file.RowGroups()[p.group]
	p.rows = g.Rows()
	p.left = g.NumRows() - row
	if row == 0 {
		return nil
	}
	return p.rows.SeekToRow(row)
}

// fill decodes the next rows, if there are any.
func (p *parquetRows) fill() error {
	for p.left == 0 {
		if p.rows != nil {
			err := p.rows.Close()
			p.rows = nil
			p.group++
			if err != nil {
				return err
			}
		}
		if p.group >= len(p.file.RowGroups()) {
			return io.EOF
		}
		if err := p.open(0); err != nil {
			return err
		}
	}
	n, err := p.rows.ReadRows(p.batch[:min(parquetBatch, p.left)])
	if n == 0 {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("row group %d ends before its last row: %w", p.group, io.ErrUnexpectedEOF)
		}
		return err
	}
	p.left -= int64(n)
	p.pending = p.batch[:n]
	return nil
}

func (p *parquetRows) next(b *Block) error {
	w := &rowJSON{buf: make([]byte, 0, blockSize+blockSize/8)}
	var ends []int
	for int64(len(w.buf)) < blockSize && len(ends) < maxBlockRows {
		if len(p.pending) == 0 {
			if err := p.fill(); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
		}
		row := p.pending[0]
		p.pending = p.pending[1:]
		p.row++
		b.add(w, p.row, func() { p.schema.writeRow(w, row, p.columns) })
		ends = append(ends, len(w.buf))
	}
	if len(ends) == 0 {
		return io.EOF
	}
	b.cut(w.buf, ends)
	b.Next = Position{Offset: p.row, Line: p.row}
	return nil
}

func (p *parquetRows) read() int64 {
	return int64(float64(p.size) * float64(p.row) / float64(max(p.total, 1)))
}

func (p *parquetRows) Close() error {
	var err error
	if p.rows != nil {
		err = p.rows.Close()
	}
	return errors.Join(err, p.data.Close())
}

// parquetFile is a Parquet file's bytes, decompressed into a file without a name where it is compressed as a whole.
type parquetFile struct {
	*os.File
	size int64
}

func openParquetFile(ctx context.Context, file File) (*parquetFile, error) {
	if file.Compression == "" {
		f, err := openRegular(file.Path)
		if err != nil {
			return nil, err
		}
		return &parquetFile{f, file.Size}, nil
	}
	s, err := openStream(ctx, file.Path, file.Compression)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	f, err := os.CreateTemp("", "so8t-parquet-")
	if err != nil {
		return nil, err
	}
	size := int64(0)
	if err = os.Remove(f.Name()); err == nil {
		limit := 64*file.Size + 1<<20 // Parquet is compressed in itself: more is no Parquet file
		if size, err = io.Copy(f, io.LimitReader(s, limit+1)); err == nil && size > limit {
			err = fmt.Errorf("grows to more than %d bytes: decompress it first", limit)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &parquetFile{f, size}, nil
}
