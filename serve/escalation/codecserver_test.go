package escalation

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
)

// The codec server decrypts for the Web UI alone: neither another page of the browser nor a program without an origin is
// answered.
func TestCodecServer(t *testing.T) {
	const origin = "http://127.0.0.1:8233"
	codec := newCodec(t, keyOf(1))
	sealed, err := codec.dataConverter().ToPayloads(secret)
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(sealed)
	if err != nil {
		t.Fatal(err)
	}
	call := func(c *Codec, method, from, path, body string) (int, string, http.Header) {
		t.Helper()
		request := httptest.NewRequest(method, path, strings.NewReader(body))
		if from != "" {
			request.Header.Set("Origin", from)
		}
		answer := httptest.NewRecorder()
		CodecServer(c, origin).ServeHTTP(answer, request)
		text, err := io.ReadAll(answer.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Code, string(text), answer.Header()
	}
	status, text, header := call(codec, "POST", origin, "/codec/decode", string(body))
	if status != http.StatusOK || !holds([]byte(text), secret) ||
		header.Get("Access-Control-Allow-Origin") != origin || header.Get("Cache-Control") != "no-store" {
		t.Errorf("decode: %d %s %v", status, text, header)
	}
	if status, _, header := call(codec, "OPTIONS", origin, "/codec/decode", ""); status != http.StatusNoContent ||
		!strings.Contains(header.Get("Access-Control-Allow-Headers"), "X-Namespace") {
		t.Errorf("preflight: %d %v", status, header)
	}
	for name, refused := range map[string]struct {
		codec              *Codec
		method, from, path string
		body               string
		want               int
	}{
		"another page":    {codec, "POST", "http://evil.example", "/codec/decode", string(body), http.StatusForbidden},
		"no origin":       {codec, "POST", "", "/codec/decode", string(body), http.StatusForbidden},
		"another scheme":  {codec, "POST", "https://127.0.0.1:8233", "/codec/decode", string(body), http.StatusForbidden},
		"its preflight":   {codec, "OPTIONS", "http://evil.example", "/codec/decode", "", http.StatusForbidden},
		"GET":             {codec, "GET", origin, "/codec/decode", "", http.StatusNotFound},
		"another path":    {codec, "POST", origin, "/codec/keys", string(body), http.StatusNotFound},
		"too long":        {codec, "POST", origin, "/codec/decode", strings.Repeat(" ", maxDecode+1), http.StatusBadRequest},
		"another key":     {newCodec(t, keyOf(2)), "POST", origin, "/codec/decode", string(body), http.StatusBadRequest},
		"nothing is read": {nil, "POST", origin, "/codec/decode", string(body), http.StatusBadRequest},
	} {
		status, text, header := call(refused.codec, refused.method, refused.from, refused.path, refused.body)
		if status != refused.want || holds([]byte(text), secret) ||
			refused.want == http.StatusForbidden && header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %.100s %v, want %d", name, status, text, header, refused.want)
		}
	}
}
