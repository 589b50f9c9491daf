package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"so8t/serve/guard"
)

// Types of errors, as OpenAI's API names them.
const (
	invalidRequest = "invalid_request_error"
	authentication = "authentication_error"
	rateLimit      = "rate_limit_error"
	serverError    = "server_error"
)

// statusClientGone is nginx's: the client did not wait. It is counted and never seen.
const statusClientGone = 499

// retryUnavailable is when to ask again where the server cannot answer now: a model takes seconds to load.
const retryUnavailable = 5 * time.Second

// failure is an error as a client sees it. Its message is written here or by the guard, and quotes nothing of the request.
type failure struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`

	status int
	retry  time.Duration // Retry-After; 0: none
	allow  string        // Allow
	cause  string        // for the log
}

// errorBody is the body of every error.
type errorBody struct {
	Error *failure `json:"error"`
}

// refuse returns a 400 about a parameter, "" if it is about none.
func refuse(code, param, format string, args ...any) *failure {
	f := &failure{status: http.StatusBadRequest, Type: invalidRequest, Code: code, Message: fmt.Sprintf(format, args...)}
	if param != "" {
		f.Param = &param
	}
	return f
}

// failed returns a failure with another status than 400.
func failed(status int, kind, code, message string) *failure {
	return &failure{status: status, Type: kind, Code: code, Message: message}
}

func (f *failure) after(d time.Duration) *failure {
	f.retry = d
	return f
}

// retryAfter is the header's value: whole seconds, rounded up.
func (f *failure) retryAfter() string { return strconv.Itoa(int(math.Ceil(f.retry.Seconds()))) }

// failureOf says what a client is told of the guard's error. client is the request's own context, which has no deadline. It
// ends when the client goes, or with a *guard.Error as its cause (HTTPServer.Under), which is told.
func failureOf(client context.Context, err error) *failure {
	var stopped *guard.Error
	switch {
	case errors.As(context.Cause(client), &stopped):
		err = stopped
	case client.Err() != nil:
		return clientGone()
	}
	var e *guard.Error
	if !errors.As(err, &e) {
		if errors.Is(err, context.DeadlineExceeded) {
			return pastDeadline()
		}
		f := internal()
		f.cause = causeOf(err)
		return f
	}
	var f *failure
	switch e.Kind {
	case guard.Invalid:
		f = refuse(e.Code, e.Param, "%s", e.Message)
	case guard.Busy:
		f = failed(http.StatusTooManyRequests, rateLimit, e.Code, e.Message).after(time.Second)
	case guard.Unavailable:
		f = failed(http.StatusServiceUnavailable, serverError, e.Code, e.Message).after(retryUnavailable)
	case guard.Cancelled:
		if f = clientGone(); e.Code == "deadline_exceeded" {
			f = pastDeadline()
		}
	default:
		f = internal()
	}
	if cause := e.Unwrap(); cause != nil {
		f.cause = cause.Error() // made for the server's eyes: the guard puts no text into it
	}
	return f
}

func clientGone() *failure {
	return failed(statusClientGone, serverError, "client_gone", "the client has gone")
}

func pastDeadline() *failure {
	return failed(http.StatusGatewayTimeout, serverError, "deadline_exceeded", "the answer was not complete within the time that a request may take")
}

func internal() *failure {
	return failed(http.StatusInternalServerError, serverError, "internal_error", "the server failed to answer: its log says more under the request id")
}

// renamed calls the parameter that the guard names as the client called it. names maps the one to the other; a path that
// begins with a name belongs to it.
func (f *failure) renamed(names map[string]string) *failure {
	if f.Param == nil {
		return f
	}
	for was, name := range names {
		if *f.Param == was || strings.HasPrefix(*f.Param, was+"[") {
			f.Param, f.Message = &name, strings.ReplaceAll(f.Message, was, name)
			break
		}
	}
	return f
}

// causeOf describes an error by its type and the operating system's error number. Its text is left out: nobody knows what
// every package that an error comes from puts into it.
func causeOf(err error) string {
	if err == nil {
		return ""
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return fmt.Sprintf("%T: %s", err, number.Error())
	}
	inner := err
	for next := errors.Unwrap(inner); next != nil; next = errors.Unwrap(inner) {
		inner = next
	}
	if inner == err {
		return fmt.Sprintf("%T", err)
	}
	return fmt.Sprintf("%T: %T", err, inner)
}
