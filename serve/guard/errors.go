package guard

import (
	"context"
	"errors"
	"fmt"

	"so8t/serve/audit"
	"so8t/serve/panics"
)

// Kind says whose fault an Error is.
type Kind int

const (
	Invalid     Kind = iota // the request's
	Busy                    // the queue is full
	Unavailable             // loading, draining, or the audit log cannot be written
	Failed                  // the server's
	Cancelled               // the client has gone or the deadline has passed
)

// Error is an error that may be shown to a client: it quotes nothing of request or answer.
type Error struct {
	Kind    Kind
	Code    string // control_token, context_length_exceeded …
	Param   string // of OpenAI's API; messages[i].content is the query of /think
	Message string
	cause   error // for the server's own eyes; holds no text of request or answer either
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }
func (e *Error) Unwrap() error { return e.cause }

// ErrLoading says that there is no model yet.
var ErrLoading = errors.New("the model is being loaded")

func invalid(code, param, message string) *Error {
	return &Error{Kind: Invalid, Code: code, Param: param, Message: message}
}

// typed makes an Error of what a model, an escalator or a sink returned. Their words stay behind: nobody knows what they
// quote. An *Error is passed on, since who made it knew that it would be shown.
func typed(err error, otherwise Error) *Error {
	var known *Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: Cancelled, Code: "deadline_exceeded", Message: "the request took longer than it may", cause: context.DeadlineExceeded}
	case errors.Is(err, context.Canceled):
		return &Error{Kind: Cancelled, Code: "cancelled", Message: "the request was cancelled", cause: context.Canceled}
	case errors.Is(err, ErrLoading):
		return &Error{Kind: Unavailable, Code: "loading", Message: "the model is being loaded", cause: ErrLoading}
	}
	otherwise.cause = fmt.Errorf("an error of type %T", err)
	return &otherwise
}

// failure is typed, but where ctx has ended that is the reason, whatever came of it.
func failure(ctx context.Context, err error, otherwise Error) *Error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return typed(err, otherwise)
}

// What went wrong where an error of no known kind comes back.
var (
	modelFailed      = Error{Kind: Failed, Code: "model_failed", Message: "the model has failed"}
	scoreFailed      = Error{Kind: Failed, Code: "score_failed", Message: "the answer's label cannot be scored"}
	escalationFailed = Error{Kind: Unavailable, Code: "escalation_unavailable", Message: "the request cannot be passed on to a person"}
	clientGone       = Error{Kind: Cancelled, Code: "cancelled", Message: "the client takes no more of the answer"}
	auditFailed      = Error{Kind: Unavailable, Code: "audit_unavailable", Message: "the answer cannot be recorded", cause: audit.ErrUnavailable}
)

// caught makes an Error of a panic: its type and stack, not its value.
func caught(value any) *Error {
	return &Error{Kind: Failed, Code: "internal_error", Message: "the server has failed", cause: panics.Error(value)}
}
