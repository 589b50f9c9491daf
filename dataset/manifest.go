package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"

	"so8t/dataset/record"
	"so8t/dataset/source"
	"so8t/disk"
)

// Files of the splits folder beside the parts.
const (
	manifestName = "manifest.json"
	reportName   = "policy_report.json"
)

// formatVersion changes whenever the same input and options would give other files. Format 1 is without the column
// prompt_length, 2 without source_file and near_duplicate.
const formatVersion = 3

// Manifest is manifest.json. It is written last: a splits folder that has one is complete.
type Manifest struct {
	FormatVersion int           `json:"format_version"`
	InputPath     string        `json:"input_path"` // the first of Inputs
	Inputs        []source.File `json:"inputs,omitempty"`
	DatasetDigest string        `json:"dataset_digest"` // hex SHA-256 of the input file; of several files, over their digests

	Options Options `json:"options"`

	Lines   int64                   `json:"lines"`
	Bad     int64                   `json:"bad"`
	Reasons map[record.Reason]int64 `json:"bad_by_reason"`
	Removed map[string]int64        `json:"removed_by_rule"`
	TooLong int64                   `json:"too_long"`

	Train PartInfo `json:"train"`
	Val   PartInfo `json:"val"`
	Test  PartInfo `json:"test"`

	Reused bool `json:"-"` // the split was already there
}

// Options decide the contents of the parts, together with the input.
type Options struct {
	TokenizerDigest   string `json:"tokenizer_digest"`
	TemplateDigest    string `json:"template_digest"`
	MaxSeqLength      int    `json:"max_seq_length"`
	QuadrupleThinking bool   `json:"quadruple_thinking"`
	Seed              uint64 `json:"seed"`
	PolicyVersion     string `json:"policy_version"`

	Records        record.Options `json:"records,omitzero"`
	TrainOn        string         `json:"train_on,omitzero"`        // last or assistant
	NearDuplicates string         `json:"near_duplicates,omitzero"` // off, or report or drop and the threshold
}

// LookedForNearDuplicates says whether the samples of validation and test are marked where a training record is near.
func (m *Manifest) LookedForNearDuplicates() bool {
	return m.Options.NearDuplicates != "" && m.Options.NearDuplicates != "off"
}

// Identity is the digest of what the samples depend on: of the input, and from format 3 on of the options too.
func (m *Manifest) Identity() string {
	if m.FormatVersion <= 2 {
		return m.DatasetDigest
	}
	options, _ := json.Marshal(m.Options) // maps are written in the order of their keys
	h := sha256.New()
	record.WriteFields(h, m.DatasetDigest, string(options))
	return hex.EncodeToString(h.Sum(nil))
}

// Files are the input files. Manifests of the formats 1 and 2 have one, whose size they do not give.
func (m *Manifest) Files() []source.File {
	if len(m.Inputs) > 0 {
		return m.Inputs
	}
	return []source.File{{Path: m.InputPath, SHA256: m.DatasetDigest}}
}

// datasetDigest is the digest of one file, or the digest over those of several.
func datasetDigest(files []source.File) string {
	if len(files) == 1 {
		return files[0].SHA256
	}
	h := sha256.New()
	for _, f := range files {
		record.WriteFields(h, f.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// PartInfo describes one Arrow file.
type PartInfo struct {
	Samples  int64            `json:"samples"`
	Tokens   int64            `json:"tokens"`
	Targets  int64            `json:"targets"` // tokens that the loss counts
	Longest  int64            `json:"longest"` // tokens of the longest sample
	PerLabel map[string]int64 `json:"per_label"`
	Bytes    int64            `json:"bytes"`
	SHA256   string           `json:"sha256"`
}

func (m *Manifest) part(i int) *PartInfo { return [parts]*PartInfo{&m.Train, &m.Val, &m.Test}[i] }

// ReadManifest reads the manifest of a splits folder. If it has none, the error is fs.ErrNotExist.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, manifestName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read split manifest: %w", err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read split manifest %s: %w", path, err)
	}
	return m, nil
}

// madeWith says whether the split is the one that these options make. Those that earlier formats did not know do not count:
// a run that an earlier version began goes on with the split that it has.
func (m *Manifest) madeWith(o Options) bool {
	switch m.FormatVersion {
	case formatVersion:
		return reflect.DeepEqual(m.Options, o)
	case 1, 2:
		was := m.Options
		return was.TokenizerDigest == o.TokenizerDigest && was.TemplateDigest == o.TemplateDigest && was.MaxSeqLength == o.MaxSeqLength &&
			was.QuadrupleThinking == o.QuadrupleThinking && was.Seed == o.Seed
	}
	return false
}

// ReadReport reads the report of a splits folder.
func ReadReport(dir string) (*Report, error) {
	r := &Report{}
	if err := disk.ReadJSON(filepath.Join(dir, reportName), r); err != nil {
		return nil, fmt.Errorf("read split report: %w", err)
	}
	return r, nil
}

// Verify reads the Arrow files and compares their SHA-256 with the manifest's.
func (m *Manifest) Verify(dir string) error {
	for i, name := range partNames {
		path := filepath.Join(dir, name+".arrow")
		sum, err := digestFile(path)
		if err != nil {
			return fmt.Errorf("verify split: %w", err)
		}
		if want := m.part(i).SHA256; sum != want {
			return fmt.Errorf("verify split: %s has SHA-256 %s, the manifest says %s", path, sum, want)
		}
	}
	return nil
}

// covers reports whether all files of the folder are there, with the sizes that the manifest gives.
func (m *Manifest) covers(dir string) bool {
	for i, name := range partNames {
		info, err := os.Stat(filepath.Join(dir, name+".arrow"))
		if err != nil || info.Size() != m.part(i).Bytes {
			return false
		}
	}
	_, err := os.Stat(filepath.Join(dir, reportName))
	return err == nil
}

func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, f, make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
