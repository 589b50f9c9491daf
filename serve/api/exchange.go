package api

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"so8t/serve/guard"
)

// writeDeadline is how long one write of a reply may take: a client that does not read loses its connection.
const writeDeadline = 30 * time.Second

// exchange is one request, its reply, and what the log says of both.
type exchange struct {
	writer  http.ResponseWriter
	control *http.ResponseController
	request *http.Request
	id      string // req_…
	route   string // one of the routes' names
	key     Key
	begun   time.Time

	status   int   // sent; 0: none yet
	sent     int64 // bytes of the body
	received int64
	stream   bool          // server-sent events
	first    time.Duration // until the first visible byte; 0: there was none
	result   *guard.Result // nil: no answer
	failure  *failure      // nil: no error
}

func newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	return &exchange{writer: w, control: http.NewResponseController(w), request: r, id: newRequestID(), begun: time.Now()}
}

var lower32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newRequestID returns req_ and 24 characters of 120 random bits.
func newRequestID() string {
	var b [15]byte
	rand.Read(b[:])
	return "req_" + lower32.EncodeToString(b[:])
}

// begin sends status and headers.
func (x *exchange) begin(status int, contentType string) {
	x.status = status
	x.writer.Header().Set("Content-Type", contentType)
	x.writer.WriteHeader(status)
}

// write sends a piece of the body at once.
func (x *exchange) write(piece []byte) error {
	// Not every writer has deadlines: a test's recorder has none.
	_ = x.control.SetWriteDeadline(time.Now().Add(writeDeadline))
	n, err := x.writer.Write(piece)
	x.sent += int64(n)
	if err != nil {
		return err
	}
	if x.stream {
		return x.control.Flush()
	}
	return nil
}

// reply sends a JSON body.
func (x *exchange) reply(status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // own types only: a NaN in a result is a bug
	}
	x.writer.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	x.begin(status, "application/json; charset=utf-8")
	_ = x.write(append(text, '\n')) // a client that has gone needs no reply
}

// fail sends an error: with its status, or inside a stream that has begun, or by cutting off a body that has.
func (x *exchange) fail(f *failure) {
	x.failure = f
	switch {
	case x.status == 0:
		if f.retry > 0 {
			x.writer.Header().Set("Retry-After", f.retryAfter())
		}
		if f.allow != "" {
			x.writer.Header().Set("Allow", f.allow)
		}
		if f.status == http.StatusUnauthorized {
			x.writer.Header().Set("WWW-Authenticate", `Bearer realm="so8t"`)
		}
		x.reply(f.status, errorBody{f})
	case x.stream:
		_ = x.event(errorBody{f})
	default:
		panic(http.ErrAbortHandler)
	}
}

// event sends one server-sent event.
func (x *exchange) event(body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return x.write([]byte("data: " + string(text) + "\n\n"))
}

// retries is the number that openai's clients send with a repeated request.
func (x *exchange) retries() int {
	n, err := strconv.ParseUint(x.request.Header.Get("X-Stainless-Retry-Count"), 10, 8)
	if err != nil {
		return 0
	}
	return int(n)
}

// bearer is the key that the request carries.
func (x *exchange) bearer() string {
	scheme, secret, _ := strings.Cut(x.request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

// visible notes that the first visible byte has left.
func (x *exchange) visible() {
	if x.first == 0 {
		x.first = time.Since(x.begun)
	}
}

// enter counts a request in, up to limit at once (0: no limit).
func enter(count *atomic.Int64, limit int) bool {
	if n := count.Add(1); limit > 0 && n > int64(limit) {
		count.Add(-1)
		return false
	}
	return true
}
