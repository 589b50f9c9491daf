package api

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"so8t/serve/escalation"
)

// Key is what is known of an API key.
type Key struct {
	Name  string
	Share string // what a person who decides sees: escalation.ShareQuery or ShareNone; empty: as the configuration says
}

// Keys are API keys, known by their SHA-256. They may be read anew while requests are served.
type Keys struct {
	entries atomic.Pointer[[]entry]
}

type entry struct {
	Key
	digest [sha256.Size]byte
}

// LoadKeys reads a file of keys. A line is
//
//	NAME SHA256HEX [share=query|none]
//
// and # begins a comment. A name may stand in several lines, so that a new key can be given out before the old one goes.
func LoadKeys(path string) (*Keys, error) {
	k := &Keys{}
	if err := k.Reload(path); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the file again. Where it has a fault the keys stay as they are, and the error names the line; it quotes
// nothing of it, as somebody may have written the key in place of its digest.
func (k *Keys) Reload(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read API keys: %w", err)
	}
	var entries []entry
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		e, err := parseKey(words, entries)
		if err != nil {
			return fmt.Errorf("read API keys %s, line %d: %w", path, n, err)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read API keys %s: %w", path, err)
	}
	if len(entries) == 0 {
		return fmt.Errorf("read API keys %s: no key", path)
	}
	k.entries.Store(&entries)
	return nil
}

func parseKey(words []string, before []entry) (entry, error) {
	var e entry
	if len(words) > 3 {
		return e, fmt.Errorf("want NAME SHA256HEX [share=query|none], have %d words", len(words))
	}
	e.Name = words[0]
	if !keyName(e.Name) {
		return e, fmt.Errorf("the name must be 1 to 64 letters, digits, '.', '_' or '-'")
	}
	if len(words) == 1 {
		return e, fmt.Errorf("the digest is missing")
	}
	digest, err := hex.DecodeString(words[1])
	if err != nil || len(digest) != len(e.digest) {
		return e, fmt.Errorf("the digest must be 64 hex digits: the SHA-256 of the key, not the key")
	}
	copy(e.digest[:], digest)
	if len(words) == 3 {
		share, ok := strings.CutPrefix(words[2], "share=")
		if !ok || share != escalation.ShareQuery && share != escalation.ShareNone {
			return e, fmt.Errorf("the third word must be share=query or share=none")
		}
		e.Share = share
	}
	for _, b := range before {
		if b.digest == e.digest {
			return e, fmt.Errorf("the digest stands in an earlier line")
		}
		if b.Name == e.Name && b.Share != e.Share {
			return e, fmt.Errorf("the name stands in an earlier line with another share")
		}
	}
	return e, nil
}

func keyName(s string) bool {
	return len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && r != '.' && r != '_' && r != '-'
	})
}

// find looks for a key in constant time: all entries are compared, whichever matches.
func (k *Keys) find(secret string) (Key, bool) {
	digest := sha256.Sum256([]byte(secret))
	found := -1
	entries := *k.entries.Load()
	for i := range entries {
		equal := subtle.ConstantTimeCompare(digest[:], entries[i].digest[:])
		found = subtle.ConstantTimeSelect(equal, i, found)
	}
	if found < 0 {
		return Key{}, false
	}
	return entries[found].Key, true
}

// Share is what the owner of a key lets a person see of an escalated request; empty if the owner does not say.
func (k *Keys) Share(name string) string {
	for _, e := range *k.entries.Load() {
		if e.Name == name {
			return e.Share
		}
	}
	return ""
}

// GenerateKey returns a new API key of 256 random bits, and its line in the file of keys.
func GenerateKey(name string) (key, line string, err error) {
	if name == "" || !keyName(name) {
		return "", "", fmt.Errorf("a key's name must be 1 to 64 letters, digits, '.', '_' or '-'")
	}
	var b [32]byte
	rand.Read(b[:])
	key = "so8t_" + base64.RawURLEncoding.EncodeToString(b[:])
	digest := sha256.Sum256([]byte(key))
	return key, name + " " + hex.EncodeToString(digest[:]), nil
}
