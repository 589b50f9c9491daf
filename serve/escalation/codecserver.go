package escalation

import (
	"net/http"

	"go.temporal.io/sdk/converter"
)

// maxDecode is the most that a request to the codec server may hold: a page of the Web UI's history.
const maxDecode = 16 << 20

// CodecServer decrypts payloads for the Temporal Web UI that is served from origin, and encrypts those that it sends: POST
// …/decode and …/encode, as `temporal server start-dev --ui-codec-endpoint` and the UI's settings expect. Whoever can reach
// it and names the origin can read all payloads: it belongs on a loopback address.
func CodecServer(c *Codec, origin string) http.Handler {
	if c == nil {
		c = &Codec{} // the UI may ask although nothing is encrypted
	}
	codec := converter.NewPayloadCodecHTTPHandler(c)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != origin { // other pages of the same browser, and names that are rebound to this address
			http.Error(w, "not for this origin", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Methods", "POST")
		h.Set("Access-Control-Allow-Headers", "Content-Type, X-Namespace")
		h.Set("Cache-Control", "no-store")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxDecode)
		codec.ServeHTTP(w, r)
	})
}
