package escalation

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

// keyOf is a codec key for tests.
func keyOf(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

func newCodec(t *testing.T, keys string) *Codec {
	t.Helper()
	c, err := NewCodec(keys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCodec(t *testing.T) {
	codec := newCodec(t, keyOf(1))
	const secret = "この契約を解約してよいですか"
	sealed, err := codec.dataConverter().ToPayload(secret)
	if err != nil {
		t.Fatal(err)
	}
	if string(sealed.Metadata[converter.MetadataEncoding]) != "binary/encrypted" || bytes.Contains(sealed.Data, []byte(secret)) {
		t.Errorf("sealed: %v", sealed)
	}
	again, err := codec.dataConverter().ToPayload(secret)
	if err != nil || bytes.Equal(again.Data, sealed.Data) {
		t.Errorf("the same text was encrypted to the same bytes: %v", err)
	}
	read := func(c *Codec, p *common.Payload) (text string, err error) {
		return text, c.dataConverter().FromPayload(p, &text)
	}
	for name, c := range map[string]*Codec{"its own": codec, "a former one": newCodec(t, keyOf(2)+" , "+keyOf(1))} {
		if text, err := read(c, sealed); err != nil || text != secret {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for name, c := range map[string]*Codec{"another": newCodec(t, keyOf(2)), "none": {}} {
		if _, err := read(c, sealed); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), string(sealed.Metadata["encryption-key-id"])) {
			t.Errorf("%s: %v, want ErrKey with the payload's key id", name, err)
		}
	}
	for i := range sealed.Data {
		bad := proto.Clone(sealed).(*common.Payload)
		bad.Data[i] ^= 1
		if _, err := read(codec, bad); err == nil {
			t.Fatalf("byte %d changed, and still read", i)
		}
		bad.Data = sealed.Data[:i]
		if _, err := read(codec, bad); err == nil {
			t.Fatalf("cut to %d bytes, and still read", i)
		}
	}
	clear, err := converter.GetDefaultDataConverter().ToPayload("by hand")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := read(codec, clear); err != nil || text != "by hand" {
		t.Errorf("a payload in clear: %q, %v", text, err)
	}
}

// Another id in the metadata than the one that was sealed does not pass, even for the same key.
func TestCodecAuthenticatesTheKeyID(t *testing.T) {
	codec := newCodec(t, keyOf(1))
	sealed, err := codec.dataConverter().ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	codec.keys[0].id = "00000000"
	sealed.Metadata[keyID] = []byte("00000000")
	if err := codec.dataConverter().FromPayload(sealed, new(string)); err == nil || !strings.Contains(err.Error(), "altered") {
		t.Errorf("%v", err)
	}
}

func TestBadKeys(t *testing.T) {
	for _, keys := range []string{"", "short", base64.StdEncoding.EncodeToString(make([]byte, 16)), keyOf(1) + ",", keyOf(1) + "x"} {
		_, err := NewCodec(keys)
		if err == nil || !strings.Contains(err.Error(), "base64 of 32 bytes") || len(keys) > 8 && strings.Contains(err.Error(), keys[:8]) {
			t.Errorf("%q: %v", keys, err)
		}
	}
}
