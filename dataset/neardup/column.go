package neardup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// column is a file with one value of size bytes for each record.
type column struct {
	file   *os.File
	size   int
	writer *bufio.Writer
	sum    uint32 // CRC-32C of what was written
}

func (c *column) open(dir, name string, size int) (err error) {
	c.size = size
	c.file, err = os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		c.writer = bufio.NewWriterSize(c.file, 1<<16)
	}
	return err
}

func (c *column) append(value []byte) error {
	c.sum = crc32.Update(c.sum, castagnoli, value)
	_, err := c.writer.Write(value)
	return err
}

func (c *column) sync() error {
	return errors.Join(c.writer.Flush(), c.file.Sync())
}

// truncate cuts the file to the values of so many records.
func (c *column) truncate(records int64, sum uint32) error {
	c.writer.Reset(c.file)
	info, err := c.file.Stat()
	if err != nil {
		return err
	}
	end := records * int64(c.size)
	if info.Size() < end {
		return &DamageError{fmt.Sprintf("%s has %d bytes, %d records need %d", c.file.Name(), info.Size(), records, end)}
	}
	c.sum = sum
	if err := c.file.Truncate(end); err != nil {
		return err
	}
	_, err = c.file.Seek(end, io.SeekStart)
	return err
}

// scan calls values with the column's values, many at a time, and fails where they are not those that were written.
func (c *column) scan(ctx context.Context, records int64, values func(first int64, data []byte) error) error {
	buf := make([]byte, c.size<<14)
	sum := uint32(0)
	for first := int64(0); first < records; {
		if err := ctx.Err(); err != nil {
			return err
		}
		data := buf[:min(int64(len(buf)), (records-first)*int64(c.size))]
		if err := c.readAt(data, first); err != nil {
			return err
		}
		sum = crc32.Update(sum, castagnoli, data)
		if err := values(first, data); err != nil {
			return err
		}
		first += int64(len(data) / c.size)
	}
	if sum != c.sum {
		return &DamageError{c.file.Name() + " is damaged: its checksum differs"}
	}
	return nil
}

// readAt reads values from that of a record on.
func (c *column) readAt(data []byte, record int64) error {
	_, err := c.file.ReadAt(data, record*int64(c.size))
	if errors.Is(err, io.EOF) {
		return &DamageError{c.file.Name() + " is shorter than its records"}
	}
	return err
}

// DamageError is a store whose files are not what was written.
type DamageError struct{ text string }

func (e *DamageError) Error() string { return "near duplicates: " + e.text }
