package escalation

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"

	"so8t/contract"
	"so8t/disk"
)

// outbox is a folder with a file for each case whose workflow may not exist yet: a payload, encrypted as the server gets it.
type outbox struct {
	dir       string
	converter converter.DataConverter
}

const suffix = ".json"

// openOutbox makes the folder, for this user alone, and removes what killed writers left.
func openOutbox(dir string, dc converter.DataConverter) (*outbox, error) {
	if err := disk.MakeDir(dir); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".escalation-") {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return &outbox{dir, dc}, nil
}

func (o *outbox) path(id string) string { return filepath.Join(o.dir, id+suffix) }

// put returns when the case is on disk.
func (o *outbox) put(id string, in contract.EscalationInput) error {
	payload, err := o.converter.ToPayload(in)
	if err != nil {
		return err
	}
	text, err := protojson.Marshal(payload)
	if err != nil {
		return err
	}
	return disk.ReplacePrivate(o.path(id), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// get returns an error of fs.ErrNotExist for a case that is not in the outbox.
func (o *outbox) get(id string) (in contract.EscalationInput, err error) {
	text, err := os.ReadFile(o.path(id))
	if err != nil {
		return in, err
	}
	var payload common.Payload
	if protojson.Unmarshal(text, &payload) != nil { // the error would quote the file
		return in, fmt.Errorf("%s is damaged", o.path(id))
	}
	if err := o.converter.FromPayload(&payload, &in); errors.Is(err, ErrKey) {
		return in, fmt.Errorf("%s: %w", o.path(id), err)
	} else if err != nil {
		return in, fmt.Errorf("%s is damaged", o.path(id))
	}
	return in, nil
}

// ids lists the cases in the outbox.
func (o *outbox) ids() (ids []string, err error) {
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if id, ours := strings.CutSuffix(e.Name(), suffix); ours && idForm.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// remove forgets a case whose workflow exists. A removal that a loss of power undoes is repeated.
func (o *outbox) remove(id string) error { return os.Remove(o.path(id)) }
