package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
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
	abortedRecord struct {
		ID           string `json:"id"`
		User         string `json:"user"`
		Key          string `json:"key"`
		FinishReason string `json:"finish_reason"`
		Model        string `json:"model"`
		Prompt       string `json:"prompt"`
		Tokens       [2]int `json:"tokens"` // of prompt and of what left: none
		Retry        int    `json:"retry,omitempty"`
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

const formatVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends the record behind h, and returns the new head. body is a JSON object.
func appendLine(b []byte, h head, at time.Time, kind string, body []byte, synced uint64) ([]byte, head) {
	start := len(b)
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, formatVersion, 10)
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
	b = hex.AppendEncode(b, binary.BigEndian.AppendUint32(nil, sum))
	b = append(b, `"}`...)
	h = head{h.seq + 1, sha256.Sum256(b[start:])}
	return append(b, '\n'), h
}
