package dataset

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"so8t/dataset/neardup"
	"so8t/dataset/source"
	"so8t/disk"
)

// workFormat changes whenever a work folder of an earlier program cannot be continued.
const workFormat = 1

const progressName = "progress.json"

// work is the hidden folder beside Dir in which the samples are gathered. progress.json says how far its files are good;
// what they hold behind is overwritten. An attempt that lost its lease while it still writes does no harm: the same input
// and options give the same bytes at the same places, and it can commit no longer.
type work struct {
	dir   string
	lease *disk.Lease
	logs  [parts]*rowLog
	store *neardup.Store
	progress
}

// progress is progress.json.
type progress struct {
	Identity string           `json:"identity"` // of the inputs and options
	Next     source.Position  `json:"next"`
	Read     int64            `json:"read"` // bytes of input
	Report   *Report          `json:"report"`
	Logs     [parts]int64     `json:"logs"` // bytes of each
	Near     neardup.Position `json:"near"`
}

// workIdentity names the work: a work folder of another identity is of no use.
func workIdentity(files []source.File, o Options) (string, error) {
	var digests []string
	for _, f := range files {
		digests = append(digests, f.SHA256)
	}
	text, err := json.Marshal(map[string]any{"format": formatVersion, "work": workFormat, "inputs": digests, "options": o})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

// workDir is the work folder of a splits folder.
func workDir(dir string) string {
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".work")
}

// openWork continues the work folder dir if it is of this identity, and else begins it anew.
func openWork(dir string, lease *disk.Lease, identity string, begin *Report) (w *work, err error) {
	w = &work{dir: dir, lease: lease}
	var saved progress
	if disk.ReadJSON(filepath.Join(dir, progressName), &saved) == nil && saved.Identity == identity && saved.Report != nil {
		w.progress = saved
		// The files may have been moved since.
		w.Report.InputPath, w.Report.Inputs = begin.InputPath, begin.Inputs
		err = w.open()
		if !errors.As(err, new(*neardup.DamageError)) && !errors.Is(err, errShort) {
			return w, err
		}
		w = &work{dir: dir, lease: lease}
	}
	w.progress = progress{Identity: identity, Report: begin}
	if err := lease.During(func() error { return os.RemoveAll(dir) }); err != nil {
		return nil, err
	}
	if err := disk.MakeDir(dir); err != nil {
		return nil, err
	}
	return w, w.open()
}

func (w *work) open() (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	for i, name := range partNames {
		if w.logs[i], err = openLog(filepath.Join(w.dir, name+".rows"), w.Logs[i]); err != nil {
			return err
		}
	}
	if w.store, err = neardup.Open(filepath.Join(w.dir, "neardup")); err != nil {
		return err
	}
	if err := w.store.Truncate(w.Near); err != nil {
		return err
	}
	return disk.SyncDir(w.dir)
}

// commit makes everything that was added durable, then says so in progress.json.
func (w *work) commit(next source.Position, read int64) error {
	var syncs errgroup.Group // at once: the disk writes them together
	for i, log := range w.logs {
		syncs.Go(log.sync)
		w.Logs[i] = log.size
	}
	syncs.Go(w.store.Sync)
	if err := syncs.Wait(); err != nil {
		return err
	}
	w.Next, w.Read, w.Near = next, read, w.store.Position()
	err := w.lease.During(func() error { return disk.ReplaceJSON(filepath.Join(w.dir, progressName), w.progress) })
	disk.Crash("split.committed")
	return err
}

func (w *work) close() error {
	var errs []error
	for _, log := range w.logs {
		if log != nil {
			errs = append(errs, log.file.Close())
		}
	}
	if w.store != nil {
		errs = append(errs, w.store.Close())
	}
	return errors.Join(errs...)
}

// removeWork removes a work folder; progress.json goes first, so that a half-removed one is not continued.
func removeWork(dir string, lease *disk.Lease) error {
	return lease.During(func() error {
		if err := os.Remove(filepath.Join(dir, progressName)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return os.RemoveAll(dir)
	})
}

var errShort = errors.New("a row log is shorter than progress.json says")

// rowLog is an appended file of rows.
type rowLog struct {
	file   *os.File
	buffer *bufio.Writer
	size   int64 // with what is buffered
}

func openLog(path string, size int64) (*rowLog, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < size {
		err = fmt.Errorf("%s: %w", path, errShort)
	}
	if err == nil {
		_, err = file.Seek(size, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &rowLog{file, bufio.NewWriterSize(file, 1<<18), size}, nil
}

func (l *rowLog) add(rows []byte) error {
	l.size += int64(len(rows))
	_, err := l.buffer.Write(rows)
	return err
}

func (l *rowLog) sync() error { return errors.Join(l.buffer.Flush(), l.file.Sync()) }

// each calls yield with every row that was added, valid until it returns.
func (l *rowLog) each(ctx context.Context, yield func(row []byte) error) error {
	if err := l.buffer.Flush(); err != nil {
		return err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(l.file, 0, l.size), 1<<18)
	var row []byte
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		size, err := binary.ReadUvarint(r)
		if err != nil || size > uint64(l.size) {
			return fmt.Errorf("%s: row %d: %w", l.file.Name(), n, errors.Join(errRow, err))
		}
		if uint64(cap(row)) < size {
			row = make([]byte, size)
		}
		row = row[:size]
		if _, err := io.ReadFull(r, row); err != nil {
			return fmt.Errorf("%s: row %d: %w", l.file.Name(), n, err)
		}
		if err := yield(row); err != nil {
			return fmt.Errorf("%s: row %d: %w", l.file.Name(), n, err)
		}
	}
}
