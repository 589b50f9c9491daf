package audit

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"so8t/disk"
)

// Names in the folder of keys. k1.key, k2.key … hash reasoning and prompts, signing-1.key, signing-2.key … sign checkpoints:
// the newest is used, the older ones still verify. users.key finds a user's salt in the file users.
const (
	hashPrefix    = "k"
	signingPrefix = "signing-"
	userKeyName   = "users.key"
	usersName     = "users"
	keySuffix     = ".key"
	erasePrefix   = "erase-"

	signerName = "so8t-audit" // in the signature of a note
	keyBytes   = 32
)

// Keys are the secrets of the log, kept outside its folder.
type Keys struct {
	dir       string
	hash      []secret // newest last
	user      []byte
	signer    note.Signer
	verifiers []note.Verifier
	public    []string
}

type secret struct {
	id  string
	key []byte
}

// LoadKeys reads the keys in dir, and makes them if there are none yet. It refuses keys that others than their owner may
// read.
func LoadKeys(dir string) (*Keys, error) {
	if err := makePrivateDir(dir); err != nil {
		return nil, fmt.Errorf("audit keys: %w", err)
	}
	unlock, free, err := disk.TryLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("audit keys: %w", err)
	}
	if !free {
		return nil, fmt.Errorf("audit keys: another process is changing the keys in %s", dir)
	}
	defer unlock()
	signing, err := numbered(dir, signingPrefix)
	if err != nil {
		return nil, fmt.Errorf("audit keys: %w", err)
	}
	if len(signing) == 0 { // the key that is made last: no record was ever written with the others
		if err := makeKeys(dir); err != nil {
			return nil, fmt.Errorf("audit keys: %w", err)
		}
	}
	return ReadKeys(dir)
}

func makeKeys(dir string) error {
	if err := disk.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	for _, name := range []string{hashPrefix + "1" + keySuffix, userKeyName} {
		if err := writeKey(filepath.Join(dir, name), newSecret()); err != nil {
			return err
		}
	}
	return newSigningKey(dir, 1)
}

func newSecret() string {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	return hex.EncodeToString(key)
}

func newSigningKey(dir string, n int) error {
	private, _, err := note.GenerateKey(rand.Reader, signerName)
	if err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, signingPrefix+strconv.Itoa(n)+keySuffix), private)
}

// writeKey makes a file for its owner alone, whole or not at all.
func writeKey(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".key.*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(path))
}

// ReadKeys reads the keys in dir, and makes none.
func ReadKeys(dir string) (*Keys, error) {
	k := &Keys{dir: dir}
	if err := k.read(); err != nil {
		return nil, fmt.Errorf("audit keys: %w", err)
	}
	return k, nil
}

func (k *Keys) read() error {
	hashes, err := numbered(k.dir, hashPrefix)
	if err != nil {
		return err
	}
	signing, err := numbered(k.dir, signingPrefix)
	if err != nil {
		return err
	}
	if len(hashes) == 0 || len(signing) == 0 {
		return fmt.Errorf("there are none in %s", k.dir)
	}
	for _, n := range hashes {
		id := hashPrefix + strconv.Itoa(n)
		key, err := k.readSecret(id + keySuffix)
		if err != nil {
			return err
		}
		k.hash = append(k.hash, secret{id, key})
	}
	if k.user, err = k.readSecret(userKeyName); err != nil {
		return err
	}
	for _, n := range signing {
		if err := k.readSigning(signingPrefix + strconv.Itoa(n) + keySuffix); err != nil {
			return err
		}
	}
	return nil
}

// numbered lists the numbers of the keys with that prefix, in order.
func numbered(dir, prefix string) (numbers []int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		rest, key := strings.CutSuffix(rest, keySuffix)
		if n, err := strconv.Atoi(rest); ok && key && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (k *Keys) readPrivate(name string) (string, error) {
	path := filepath.Join(k.dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if err := private(path, info); err != nil {
		return "", err
	}
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

func private(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s may be read by others than its owner (mode %04o): chmod 600 %[1]s, and rotate it if somebody did", path, mode)
	}
	return nil
}

func (k *Keys) readSecret(name string) ([]byte, error) {
	text, err := k.readPrivate(name)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != keyBytes {
		return nil, fmt.Errorf("%s is not %d bytes in hex", filepath.Join(k.dir, name), keyBytes)
	}
	return key, nil
}

// readSigning makes the key the signer, and one of the verifiers.
func (k *Keys) readSigning(name string) error {
	text, err := k.readPrivate(name)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(text)
	if err != nil {
		return fmt.Errorf("%s holds no signing key", filepath.Join(k.dir, name)) // err may quote the key
	}
	parts := strings.Split(text, "+") // PRIVATE+KEY+name+hash+base64 of the algorithm's byte and the seed; base64 may hold +
	seed, err := base64.StdEncoding.DecodeString(strings.Join(parts[4:], "+"))
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return fmt.Errorf("%s holds no ed25519 key", filepath.Join(k.dir, name))
	}
	public, err := note.NewEd25519VerifierKey(signer.Name(), ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return err
	}
	k.signer, k.verifiers, k.public = signer, append(k.verifiers, verifier), append(k.public, public)
	return nil
}

// Public returns the keys that verify checkpoints, the newest last, in the form that note.NewVerifier reads.
func (k *Keys) Public() []string { return slices.Clone(k.public) }

// IDs returns the ids of the keys that hash, the newest last.
func (k *Keys) IDs() (ids []string) {
	for _, s := range k.hash {
		ids = append(ids, s.id)
	}
	return ids
}

func (k *Keys) newest() secret { return k.hash[len(k.hash)-1] }

// RotateHash adds a key that hashes reasoning and prompts from the next start of the log on, and returns its id.
func RotateHash(dir string) (id string, err error) {
	return rotate(dir, hashPrefix, func(n int) error {
		return writeKey(filepath.Join(dir, hashPrefix+strconv.Itoa(n)+keySuffix), newSecret())
	})
}

// RotateSigning adds a key that signs checkpoints from the next start of the log on, and returns its id.
func RotateSigning(dir string) (id string, err error) {
	return rotate(dir, signingPrefix, func(n int) error { return newSigningKey(dir, n) })
}

func rotate(dir, prefix string, add func(n int) error) (id string, err error) {
	k, err := ReadKeys(dir)
	if err != nil {
		return "", err
	}
	unlock, free, err := disk.TryLock(filepath.Join(k.dir, lockName))
	if err != nil || !free {
		return "", errors.Join(errors.New("audit keys: another process is changing them"), err)
	}
	defer unlock()
	numbers, err := numbered(dir, prefix)
	if err != nil {
		return "", err
	}
	n := numbers[len(numbers)-1] + 1
	return prefix + strconv.Itoa(n), add(n)
}

// mac is HMAC-SHA-256 of the domain and, each behind its length, the parts.
func mac(key []byte, domain string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(domain))
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	return h.Sum(nil)
}

// Domains of the hashes: a value of one is none of another.
const (
	reasoningDomain = "so8t reasoning v1"
	promptDomain    = "so8t prompt v1"
	indexDomain     = "so8t user index v1"
	userDomain      = "so8t user v1"
)

func (s secret) hashOf(domain, id string, text []byte) string {
	return HMAC + ":" + s.id + ":" + hex.EncodeToString(mac(s.key, domain, []byte(id), text))
}

func plainHash(text []byte) string {
	sum := sha256.Sum256(text)
	return SHA256 + ":" + hex.EncodeToString(sum[:])
}

func (k *Keys) reasoningHash(id string, text []byte) string {
	return k.newest().hashOf(reasoningDomain, id, text)
}
func (k *Keys) promptHash(id string, text []byte) string {
	return k.newest().hashOf(promptDomain, id, text)
}

// Match reports whether value is the reasoning hash of that text in the record of that request. The error says which key is
// missing, or that value is no hash.
func (k *Keys) Match(value, id string, text []byte) (bool, error) {
	same := func(want string) bool { return subtle.ConstantTimeCompare([]byte(value), []byte(want)) == 1 }
	parts := strings.Split(value, ":")
	switch {
	case len(parts) == 2 && parts[0] == SHA256:
		return same(plainHash(text)), nil
	case len(parts) == 3 && parts[0] == HMAC:
		for _, s := range k.hash {
			if s.id == parts[1] {
				return same(s.hashOf(reasoningDomain, id, text)), nil
			}
		}
		return false, fmt.Errorf("audit keys: there is no key %s in %s", parts[1], k.dir)
	}
	return false, fmt.Errorf("%q is no hash of a reasoning", value)
}
