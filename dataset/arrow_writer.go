package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"golang.org/x/sys/unix"
)

// A record batch is closed at any of these limits; up to three of one part are in memory at a time.
const (
	batchRows   = 4096
	batchTokens = 1 << 19
	batchBytes  = 16 << 20 // of domain labels, whose length tokens do not limit

	sendBytes = 16 << 20 // of a file are handed to the disk at once
)

// columns is the schema's fields, one row a sample.
var columns = []arrow.Field{
	{Name: "input_ids", Type: arrow.ListOfNonNullable(arrow.PrimitiveTypes.Int32)},
	{Name: "labels", Type: arrow.ListOfNonNullable(arrow.PrimitiveTypes.Int32)}, // −100 where masked
	{Name: "four_class_label", Type: arrow.BinaryTypes.String},
	{Name: "domain_label", Type: arrow.BinaryTypes.String},
	{Name: "source_line", Type: arrow.PrimitiveTypes.Int64},
	{Name: "digest", Type: arrow.BinaryTypes.String},
	{Name: "prompt_length", Type: arrow.PrimitiveTypes.Int32}, // tokens before the assistant's first
	{Name: "source_file", Type: arrow.PrimitiveTypes.Int32},
	{Name: "near_duplicate", Type: arrow.FixedWidthTypes.Boolean},
}

// Columns of earlier formats, which are the first of columns.
const (
	columnsOfFormat1 = 6 // without prompt_length
	columnsOfFormat2 = 7 // without source_file and near_duplicate
)

// schemaOf names what the samples depend on, but not the form or names of the files that they came in.
func schemaOf(o Options) *arrow.Schema {
	metadata := arrow.MetadataFrom(map[string]string{ // sorted by key
		"tokenizer_digest":   o.TokenizerDigest,
		"template_digest":    o.TemplateDigest,
		"seed":               strconv.FormatUint(o.Seed, 10),
		"policy_version":     o.PolicyVersion,
		"max_seq_length":     strconv.Itoa(o.MaxSeqLength),
		"quadruple_thinking": strconv.FormatBool(o.QuadrupleThinking),
	})
	return arrow.NewSchema(columns, &metadata)
}

// partWriter writes one Arrow file in batches, each beside the gathering of the next.
type partWriter struct {
	file   *os.File
	size   int64
	sent   int64 // bytes that are on their way to the disk
	hash   hash.Hash
	writer *ipc.FileWriter
	rows   *array.RecordBuilder
	full   chan arrow.Record // batches to be written
	failed chan error        // closed when all are
	tokens int               // in the batch
	bytes  int               // of domain labels in the batch
}

func newPartWriter(path string, schema *arrow.Schema) (*partWriter, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &partWriter{file: file, hash: sha256.New(), full: make(chan arrow.Record, 1), failed: make(chan error)}
	w.writer, err = ipc.NewFileWriter(w, ipc.WithSchema(schema))
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	w.rows = array.NewRecordBuilder(memory.DefaultAllocator, schema)
	go w.write(w.full)
	return w, nil
}

// Write and Seek hash the file while it is written: arrow writes sequentially and seeks only to learn the offset.
func (w *partWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	if unsent := w.size - w.sent; unsent >= sendBytes {
		// The disk starts now, not when finish syncs; where a file system cannot, finish does it all.
		_ = unix.SyncFileRange(int(w.file.Fd()), w.sent, unsent, unix.SYNC_FILE_RANGE_WRITE)
		w.sent = w.size
	}
	return n, err
}

func (w *partWriter) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, fmt.Errorf("%s: seek in a file that is written once", w.file.Name())
	}
	return w.size, nil
}

func (w *partWriter) add(s Sample) error {
	appendList(w.rows.Field(0), s.InputIDs)
	appendList(w.rows.Field(1), s.Labels)
	w.rows.Field(2).(*array.StringBuilder).Append(s.Label)
	w.rows.Field(3).(*array.StringBuilder).Append(s.Domain)
	w.rows.Field(4).(*array.Int64Builder).Append(s.SourceLine)
	w.rows.Field(5).(*array.StringBuilder).Append(s.Digest)
	w.rows.Field(6).(*array.Int32Builder).Append(int32(s.PromptLength))
	w.rows.Field(7).(*array.Int32Builder).Append(int32(s.SourceFile))
	w.rows.Field(8).(*array.BooleanBuilder).Append(s.NearDuplicate)
	w.tokens += len(s.InputIDs)
	w.bytes += len(s.Domain)
	if w.tokens >= batchTokens || w.bytes >= batchBytes || w.rows.Field(4).Len() >= batchRows {
		return w.flush()
	}
	return nil
}

func appendList(b array.Builder, values []int32) {
	list := b.(*array.ListBuilder)
	list.Append(true)
	list.ValueBuilder().(*array.Int32Builder).AppendValues(values, nil)
}

// flush hands the batch over to be written.
func (w *partWriter) flush() error {
	w.tokens, w.bytes = 0, 0
	if w.rows.Field(4).Len() == 0 {
		return nil
	}
	batch := w.rows.NewRecord()
	select {
	case w.full <- batch:
		return nil
	case err := <-w.failed:
		batch.Release()
		return err
	}
}

// write writes batches until there are no more.
func (w *partWriter) write(full <-chan arrow.Record) {
	defer close(w.failed)
	for batch := range full {
		err := w.writer.Write(batch)
		batch.Release()
		if err != nil {
			w.failed <- fmt.Errorf("write %s: %w", w.file.Name(), err)
			return
		}
	}
}

// finish completes and syncs the file.
func (w *partWriter) finish() (size int64, sha string, err error) {
	if err := w.flush(); err != nil {
		return 0, "", err
	}
	if err := w.drain(); err != nil {
		return 0, "", err
	}
	if err := w.writer.Close(); err != nil {
		return 0, "", fmt.Errorf("write %s: %w", w.file.Name(), err)
	}
	if err := w.file.Sync(); err != nil {
		return 0, "", err
	}
	return w.size, hex.EncodeToString(w.hash.Sum(nil)), nil
}

// drain waits until every batch is written.
func (w *partWriter) drain() error {
	if w.full == nil {
		return nil
	}
	close(w.full)
	w.full = nil
	return <-w.failed
}

func (w *partWriter) close() error {
	err := w.drain() // nil once finish has called it
	w.rows.Release()
	return errors.Join(err, w.file.Close())
}
