package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"so8t/version"
)

const (
	manifestName = "manifest.json"
	stateName    = "state.safetensors"
	metricsName  = "metrics.json"

	formatVersion = 1
)

type manifest struct {
	Format   int       `json:"format"`
	Identity Identity  `json:"identity"`
	Position Position  `json:"position"`
	Reason   string    `json:"reason"`
	SavedAt  time.Time `json:"saved_at"`
	Files    []fileSum `json:"files"`

	Version  version.Version   `json:"version,omitzero"`   // that computed it; zero in checkpoints before there were versions
	Versions []version.Version `json:"versions,omitempty"` // that took part in the run so far, by their first save

	Digest string `json:"digest"` // SHA-256 of the text before it
}

// The manifest's text ends with its digest, so that a manifest of a later format can be
// checked without understanding it.
const (
	digestKey  = "  \"digest\": \""
	digestTail = "\"\n}\n"
	digestHex  = 2 * sha256.Size
)

// encode renders m and sets its digest.
func (m *manifest) encode() ([]byte, error) {
	m.Digest = string(bytes.Repeat([]byte{'0'}, digestHex))
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	at := len(text) - len(digestTail) - digestHex
	sum := sha256.Sum256(text[:at])
	m.Digest = hex.EncodeToString(sum[:])
	copy(text[at:], m.Digest)
	return text, nil
}

// decodeManifest checks the text against its digest before it believes any of it.
func decodeManifest(text []byte) (*manifest, error) {
	at := len(text) - len(digestTail) - digestHex
	if at < 0 || !bytes.HasSuffix(text[:at], []byte(digestKey)) || !bytes.HasSuffix(text, []byte(digestTail)) {
		return nil, errors.New("does not end with its digest")
	}
	sum := sha256.Sum256(text[:at])
	if digest := hex.EncodeToString(sum[:]); digest != string(text[at:at+digestHex]) {
		return nil, fmt.Errorf("SHA-256 is %s, its last line says %s", digest, text[at:at+digestHex])
	}
	m := &manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, err
	}
	return m, nil
}

// readManifest reads the manifest of the checkpoint at dir. A *DamageError
// means that the checkpoint is lost.
func readManifest(dir string) (*manifest, error) {
	path := filepath.Join(dir, manifestName)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, damageIfLost(path, err)
	}
	m, err := decodeManifest(text)
	if err != nil {
		return nil, &DamageError{path, err}
	}
	if m.Format != formatVersion {
		return nil, fmt.Errorf("%s has format %d, this program reads %d", path, m.Format, formatVersion)
	}
	if name := filepath.Base(dir); name != m.Position.Folder() {
		return nil, &DamageError{path, fmt.Errorf("is that of %s", m.Position.Folder())}
	}
	for _, name := range []string{stateName, metricsName} {
		if _, ok := m.file(name); !ok {
			return nil, &DamageError{path, fmt.Errorf("lists no %s", name)}
		}
	}
	if len(m.Files) != 2 { // other names could lead outside the folder, and repeated ones cost a read each
		return nil, &DamageError{path, fmt.Errorf("lists %d files, this format has 2", len(m.Files))}
	}
	return m, nil
}

func (m *manifest) file(name string) (fileSum, bool) {
	i := slices.IndexFunc(m.Files, func(f fileSum) bool { return f.Name == name })
	if i < 0 {
		return fileSum{}, false
	}
	return m.Files[i], true
}

// verify reads every file of the checkpoint at dir.
func (m *manifest) verify(ctx context.Context, dir string) error {
	for _, f := range m.Files {
		if _, err := readFile(ctx, dir, f, false); err != nil {
			return err
		}
	}
	return nil
}

// sameContent reports whether two checkpoints restore the same run at the same place.
func (m *manifest) sameContent(other *manifest) bool {
	return m.Identity == other.Identity && m.Position == other.Position && slices.Equal(m.Files, other.Files)
}

func (m *manifest) info(dir string) Info {
	info := Info{Dir: dir, Position: m.Position, Digest: m.Digest, Reason: m.Reason, SavedAt: m.SavedAt,
		Version: cmp.Or(m.Version, version.Unversioned), Versions: m.Versions}
	if info.Versions == nil {
		info.Versions = []version.Version{info.Version}
	}
	for _, f := range m.Files {
		info.Bytes += f.Bytes
	}
	return info
}
