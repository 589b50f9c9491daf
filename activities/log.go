package activities

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"so8t/disk"
	"so8t/rundir"
)

// openLog opens the run's log, which records the worker's messages about this run, and nothing else.
func openLog(l rundir.Layout, workflowID string, worker slog.Handler) (*slog.Logger, *os.File, error) {
	path := l.Log(workflowID)
	if err := disk.MakeDir(filepath.Dir(path)); err != nil {
		return nil, nil, fmt.Errorf("output directory: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("run log: %w", err)
	}
	return slog.New(tee{worker, slog.NewTextHandler(file, nil)}).With("workflow", workflowID), file, nil
}

// tee writes each record to two handlers.
type tee struct{ a, b slog.Handler }

func (h tee) Enabled(ctx context.Context, l slog.Level) bool {
	return h.a.Enabled(ctx, l) || h.b.Enabled(ctx, l)
}

// Handle ignores errors: a log that cannot be written does not stop training.
func (h tee) Handle(ctx context.Context, r slog.Record) error {
	for _, handler := range []slog.Handler{h.a, h.b} {
		if handler.Enabled(ctx, r.Level) {
			_ = handler.Handle(ctx, r.Clone())
		}
	}
	return nil
}

func (h tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tee{h.a.WithAttrs(attrs), h.b.WithAttrs(attrs)}
}

func (h tee) WithGroup(name string) slog.Handler {
	return tee{h.a.WithGroup(name), h.b.WithGroup(name)}
}
