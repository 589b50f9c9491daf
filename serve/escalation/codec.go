package escalation

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"
)

// Codec encrypts what Temporal stores: AES-256-GCM, the nonce before the ciphertext, the key's id in the metadata and
// authenticated with the rest. A Codec without keys encrypts nothing.
type Codec struct {
	keys []key // the first encrypts, all decrypt
}

type key struct {
	id   string
	aead cipher.AEAD
}

// Metadata of an encrypted payload. The names are those of Temporal's samples, so that their tools know them.
const (
	encrypted = "binary/encrypted"
	keyID     = "encryption-key-id"
)

// ErrKey says that a payload was encrypted with another key.
var ErrKey = errors.New("encrypted with another key")

// NewCodec reads keys: base64 of 32 bytes each, separated by commas. The first encrypts; the others are former ones, whose
// payloads are still read.
func NewCodec(keys string) (*Codec, error) {
	c := &Codec{}
	for i, text := range strings.Split(keys, ",") {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil || len(secret) != 32 {
			return nil, fmt.Errorf("codec key %d: want the base64 of 32 bytes: head -c 32 /dev/urandom | base64", i+1)
		}
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append([]byte("so8t codec key id\x00"), secret...))
		c.keys = append(c.keys, key{hex.EncodeToString(sum[:4]), aead})
	}
	return c, nil
}

// Encode implements converter.PayloadCodec.
func (c *Codec) Encode(payloads []*common.Payload) ([]*common.Payload, error) {
	if len(c.keys) == 0 {
		return payloads, nil
	}
	k := c.keys[0]
	sealed := make([]*common.Payload, len(payloads))
	for i, p := range payloads {
		text, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(text)+k.aead.Overhead())
		_, _ = rand.Read(nonce) // never fails
		sealed[i] = &common.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encrypted), keyID: []byte(k.id)},
			Data:     k.aead.Seal(nonce, nonce, text, []byte(k.id)),
		}
	}
	return sealed, nil
}

// Decode implements converter.PayloadCodec. What is not encrypted passes as it is: a decision sent by the Web UI, for one.
func (c *Codec) Decode(payloads []*common.Payload) ([]*common.Payload, error) {
	opened := make([]*common.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encrypted {
			opened[i] = p
			continue
		}
		var err error
		if opened[i], err = c.open(p); err != nil {
			return nil, err
		}
	}
	return opened, nil
}

func (c *Codec) open(p *common.Payload) (*common.Payload, error) {
	id := string(p.GetMetadata()[keyID])
	var known []string
	for _, k := range c.keys {
		known = append(known, k.id)
		if k.id != id {
			continue
		}
		size := k.aead.NonceSize()
		if len(p.GetData()) < size {
			return nil, errors.New("encrypted payload is cut off")
		}
		text, err := k.aead.Open(nil, p.GetData()[:size], p.GetData()[size:], []byte(id))
		if err != nil {
			return nil, fmt.Errorf("encrypted payload was altered: %w", err)
		}
		opened := &common.Payload{}
		return opened, proto.Unmarshal(text, opened)
	}
	return nil, fmt.Errorf("payload is %w: %q; known: %s", ErrKey, id, strings.Join(known, ", "))
}

// dataConverter is the SDK's own with the codec's encryption.
func (c *Codec) dataConverter() converter.DataConverter {
	return lenient{converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)}
}

// lenient returns errors, except inside a workflow.
type lenient struct{ converter.DataConverter }

// WithWorkflowContext and WithContext make it a workflow.ContextAware.
func (l lenient) WithWorkflowContext(workflow.Context) converter.DataConverter {
	return strict(l)
}

func (l lenient) WithContext(context.Context) converter.DataConverter { return l }

// strict panics where the key is wrong: the workflow then waits for a process with the right one. An error would end it.
type strict struct{ converter.DataConverter }

func (s strict) FromPayload(p *common.Payload, value any) error {
	return needKey(s.DataConverter.FromPayload(p, value))
}

func (s strict) FromPayloads(p *common.Payloads, values ...any) error {
	return needKey(s.DataConverter.FromPayloads(p, values...))
}

func needKey(err error) error {
	if errors.Is(err, ErrKey) {
		panic(err)
	}
	return err
}
