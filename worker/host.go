package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// host is this process's hold on the queues of one host. A second worker of the same name
// stands by until the first is gone: two would train on one device at once, and a request
// to the training process could reach the other one.
//
// Beside the lock lie the task tokens of what the process is working on. Whoever gets the
// lock next finds there what a killed predecessor was at, and reports it as failed, so that
// the server retries at once instead of after the heartbeat timeout.
type host struct {
	lock *flock.Flock
	path string // of the tokens

	mu     sync.Mutex
	tokens map[string][]byte // by themselves
}

// waitForHost returns once this process is the only one that serves the host.
func waitForHost(ctx context.Context, o client.Options, name string, logger *slog.Logger) (*host, error) {
	key := sha256.Sum256([]byte(o.HostPort + "\x00" + o.Namespace + "\x00" + name))
	base := filepath.Join(os.TempDir(), fmt.Sprintf("so8t-worker-%d-%s", os.Getuid(), hex.EncodeToString(key[:8])))
	h := &host{lock: flock.New(base + ".lock"), path: base + ".tasks", tokens: map[string][]byte{}}
	for waited := false; ; waited = true {
		ok, err := h.lock.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock host %s: %w", name, err)
		}
		if ok {
			return h, nil
		}
		if !waited {
			logger.Info("another worker serves this host; standing by until it is gone", "host", name)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (h *host) release() { _ = h.lock.Close() }

// Begin and End note what is being worked on; activities call them.
func (h *host) Begin(token []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens[string(token)] = token
	h.save()
}

func (h *host) End(token []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.tokens, string(token))
	h.save()
}

// save needs no durability: after a loss of power the heartbeat timeout does its work.
func (h *host) save() {
	list := make([][]byte, 0, len(h.tokens))
	for _, t := range h.tokens {
		list = append(list, t)
	}
	text, err := json.Marshal(list)
	if err == nil && os.WriteFile(h.path+".new", text, 0o600) == nil {
		_ = os.Rename(h.path+".new", h.path)
	}
}

// failLeftovers reports what a dead predecessor was working on.
func (h *host) failLeftovers(ctx context.Context, c client.Client, logger *slog.Logger) {
	text, err := os.ReadFile(h.path)
	var list [][]byte
	if err != nil || json.Unmarshal(text, &list) != nil {
		return
	}
	for _, token := range list {
		err := c.CompleteActivity(ctx, token, nil, temporal.NewApplicationErrorWithOptions("the worker died; the next one goes on", "WorkerDied",
			temporal.ApplicationErrorOptions{NextRetryDelay: time.Second}))
		logger.Info("took over from a worker that died", "told_the_server", err == nil)
	}
	_ = os.Remove(h.path)
}
