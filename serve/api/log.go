package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"so8t/serve/panics"
)

// finish logs and counts a request. Everything it takes was made here or is a number: no text of request or answer.
func (s *Server) finish(x *exchange) {
	took := time.Since(x.begun)
	level := slog.LevelInfo
	attributes := []slog.Attr{slog.String("request_id", x.id), slog.String("route", x.route), slog.Int("status", x.status),
		slog.Int64("received_bytes", x.received), slog.Int64("sent_bytes", x.sent), slog.Duration("took", took)}
	if x.key.Name != "" {
		attributes = append(attributes, slog.String("key", x.key.Name))
	}
	if r := x.result; r != nil {
		attributes = append(attributes, slog.String("label", label(r.Label)), slog.Bool("escalated", r.Escalated),
			slog.String("finish_reason", finishReason(r.FinishReason)),
			slog.Duration("first_visible", x.first), slog.Int("prompt_tokens", r.PromptTokens), slog.Int("visible_tokens", r.CompletionTokens))
	}
	status := x.status
	if f := x.failure; f != nil {
		status = f.status
		attributes = append(attributes, slog.String("code", f.Code))
		if f.cause != "" {
			attributes = append(attributes, slog.String("cause", f.cause))
		}
		switch {
		case f.status == http.StatusServiceUnavailable: // loading, or stopping: every probe hears it
			level = slog.LevelWarn
		case f.status >= http.StatusInternalServerError:
			level = slog.LevelError
		}
	}
	s.o.Log.LogAttrs(context.Background(), level, "request", attributes...)
	s.metrics.request(x, status, took)
}

// recover answers 500 where a handler panicked. It logs the type of the panic's value and where it happened: the value, and
// the arguments that a stack trace prints, may hold text.
func (s *Server) recover(x *exchange) {
	value := recover()
	if value == nil {
		return
	}
	if value == http.ErrAbortHandler {
		panic(value)
	}
	s.o.Log.Error("panic", "request_id", x.id, "route", x.route, "type", fmt.Sprintf("%T", value), "stack", panics.Stack())
	x.fail(internal())
}
