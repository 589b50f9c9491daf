package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
)

// The fields of each kind of record, in the order in which a line has them.
type (
	answerRecord struct {
		ID         string  `json:"id"`
		User       string  `json:"user"`
		Key        string  `json:"key"`
		Label      string  `json:"label"`
		Written    string  `json:"written,omitempty"`
		Confidence float64 `json:"conf"`
		Escalated  bool    `json:"escalated"`
		Escalation string  `json:"escalation,omitempty"`
		End        string  `json:"end"`
		Model      string  `json:"model"`
		Reasoning  string  `json:"reasoning"`
		Prompt     string  `json:"prompt"`
		Retry      int     `json:"retry,omitempty"`
	}
	doneRecord struct {
		ID           string `json:"id"`
		FinishReason string `json:"finish_reason"`
		End          string `json:"end"`
		Tokens       [2]int `json:"tokens"` // of prompt and completion
	}
	decidedRecord struct {
		ID         string `json:"id"`
		Escalation string `json:"escalation"`
		Decision   string `json:"decision"`
		By         string `json:"by"`
		NoteHash   string `json:"note,omitempty"`
		At         string `json:"at"`
	}
	eventRecord struct {
		Detail map[string]string `json:"detail,omitempty"`
	}
	rotatedRecord struct {
		File string `json:"file"` // the segment before
		Last uint64 `json:"last"` // its last record
		Hash string `json:"hash"`
	}
)

const timeLayout = "2006-01-02T15:04:05.000000Z"

func stamp(t time.Time) string { return t.UTC().Format(timeLayout) }

// digest is the SHA-256 of a line without its line end.
type digest [sha256.Size]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// unhex reads a digest; of anything else it returns a digest that no line has.
func unhex(text string) (d digest) {
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == len(d) {
		copy(d[:], raw)
	}
	return d
}

// head is a place in the chain: the newest record and its hash.
type head struct {
	seq  uint64 // 0: none
	hash digest
}

func (h head) position() Position { return Position{h.seq, h.hash.String()} }

const version = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends the record behind h, and returns the new head. body is a JSON object.
func appendLine(b []byte, h head, at time.Time, kind string, body []byte, synced uint64) ([]byte, head) {
	start := len(b)
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, version, 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, h.seq+1, 10)
	b = append(b, `,"time":"`...)
	b = at.UTC().AppendFormat(b, timeLayout)
	b = append(b, `","kind":`...)
	quoted, _ := json.Marshal(kind) // a string always has a JSON form
	b = append(b, quoted...)
	if len(body) > len(`{}`) {
		b = append(b, ',')
		b = append(b, body[1:len(body)-1]...)
	}
	b = append(b, `,"synced":`...)
	b = strconv.AppendUint(b, synced, 10)
	b = append(b, `,"prev":"`...)
	b = hex.AppendEncode(b, h.hash[:])
	b = append(b, `","crc":"`...)
	sum := crc32.Checksum(b[start:], castagnoli)
	b = hex.AppendEncode(b, []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	b = append(b, `"}`...)
	h = head{h.seq + 1, sha256.Sum256(b[start:])}
	return append(b, '\n'), h
}

// line is a record as it is read back.
type line struct {
	V         int     `json:"v"`
	Seq       uint64  `json:"seq"`
	Time      string  `json:"time"`
	Kind      string  `json:"kind"`
	ID        string  `json:"id"`
	User      string  `json:"user"`
	Model     string  `json:"model"`
	Reasoning string  `json:"reasoning"`
	File      string  `json:"file"`
	Last      uint64  `json:"last"`
	Hash      string  `json:"hash"`
	Synced    *uint64 `json:"synced"`
	Prev      string  `json:"prev"`

	at time.Time
}

const sumLength = len(`","crc":"00000000"}`)

// parse reads a line without its line end. It tells what is wrong with the line itself, not whether the chain holds.
func parse(text []byte) (*line, error) {
	cut := len(text) - sumLength
	if cut < 0 || !bytes.HasPrefix(text[cut:], []byte(`","crc":"`)) || !bytes.HasSuffix(text, []byte(`"}`)) {
		return nil, fmt.Errorf("no record")
	}
	cut += len(`","crc":"`)
	if want := fmt.Sprintf("%08x", crc32.Checksum(text[:cut], castagnoli)); string(text[cut:cut+8]) != want {
		return nil, fmt.Errorf("its checksum is %q, computed %s", text[cut:cut+8], want)
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("no record: %w", err)
	}
	if l.V != version {
		return nil, fmt.Errorf("version %d of the format, known is %d", l.V, version)
	}
	if l.Synced == nil || *l.Synced >= l.Seq {
		return nil, fmt.Errorf("synced is not a record before it")
	}
	var err error
	if l.at, err = time.Parse(timeLayout, l.Time); err != nil {
		return nil, fmt.Errorf("its time is no UTC time with microseconds")
	}
	return &l, nil
}

// follows says why l, whose text is given, is not the record behind h; otherwise it returns the new head.
func (l *line) follows(h head, text []byte) (head, error) {
	if l.Seq != h.seq+1 {
		return h, fmt.Errorf("record %d where %d belongs", l.Seq, h.seq+1)
	}
	if want := h.hash.String(); l.Prev != want {
		return h, fmt.Errorf("record %d names %q as the hash of the line before, computed %s", l.Seq, l.Prev, want)
	}
	return head{l.Seq, sha256.Sum256(text)}, nil
}
