package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a certificate of 127.0.0.1 and its key.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, bytes []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert = write("cert.pem", "CERTIFICATE", der)
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return cert, write("key.pem", "PRIVATE KEY", secret), pool
}

func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	s := listen(t, Options{TLSCert: cert, TLSKey: key})
	run(t, s, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "whole") })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	answer, err := client.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if body, err := io.ReadAll(answer.Body); string(body) != "whole" || !strings.HasPrefix(s.URL(), "https://") {
		t.Errorf("%s: %q, %v", s.URL(), body, err)
	}
	if body, err := get("http://" + strings.TrimPrefix(s.URL(), "https://")); body == "whole" {
		t.Errorf("answers without TLS: %v", err)
	}
	if _, err := Listen(Options{Address: "127.0.0.1:0", TLSCert: key, TLSKey: cert}); err == nil || !strings.Contains(err.Error(), "serve.tls_cert") {
		t.Error(err)
	}
}
