package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// bpe is byte-pair encoding with byte fallback: tables that never change after loading.
type bpe struct {
	runes        runeTable        // id of each one-rune entry
	bytes        [256]int32       // id of <0xNN>; only where byteFallback
	merges       map[uint64]merge // by pair of ids
	cuts         cuts
	unk          int32
	fuseUnk      bool
	byteFallback bool
}

type merge struct{ rank, id int32 }

func pair(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func newBPE(m *modelJSON, ids map[string]int32) (*bpe, error) {
	b := &bpe{merges: make(map[uint64]merge, len(m.Merges)), fuseUnk: m.FuseUnk, byteFallback: m.ByteFallback}
	for content, id := range ids {
		if r, n := utf8.DecodeRuneInString(content); n > 0 && n == len(content) {
			b.runes.set(r, id)
		}
	}
	fallback, err := b.setFallback(m, ids)
	if err != nil {
		return nil, err
	}
	for rank, raw := range m.Merges {
		key := fmt.Sprintf("model.merges[%d]", rank)
		left, right, err := parseMerge(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if left == "" && right == "" {
			continue // a "#version" line
		}
		for _, content := range []string{left, right, left + right} {
			if _, ok := ids[content]; !ok {
				return nil, fmt.Errorf("%s: %q is not in model.vocab", key, content)
			}
		}
		l, r := ids[left], ids[right]
		if fallback[l] || fallback[r] {
			// The cuts below are exact only if the tokens of an unknown character never merge.
			return nil, fmt.Errorf("%s: merging byte tokens or unk_token is not supported", key)
		}
		b.merges[pair(l, r)] = merge{rank: int32(rank), id: ids[left+right]}
		b.cuts.join(left + right)
	}
	return b, nil
}

// setFallback resolves the tokens for characters outside the vocabulary, and returns their ids.
func (b *bpe) setFallback(m *modelJSON, ids map[string]int32) (map[int32]bool, error) {
	fallback := map[int32]bool{}
	if m.ByteFallback {
		for v := range b.bytes {
			content := fmt.Sprintf("<0x%02X>", v)
			id, ok := ids[content]
			if !ok {
				return nil, fmt.Errorf("model.byte_fallback: model.vocab lacks %q", content)
			}
			b.bytes[v] = id
			fallback[id] = true
		}
		return fallback, nil
	}
	if m.UnkToken == nil {
		return nil, fmt.Errorf("model.unk_token: null without byte_fallback is not supported")
	}
	id, ok := ids[*m.UnkToken]
	if !ok {
		return nil, fmt.Errorf("model.unk_token: %q is not in model.vocab", *m.UnkToken)
	}
	b.unk = id
	fallback[id] = true
	return fallback, nil
}

// parseMerge reads "a b" or ["a", "b"]; both empty: a line to skip.
func parseMerge(raw json.RawMessage) (left, right string, err error) {
	var two []string
	if len(raw) > 0 && raw[0] == '[' {
		err = json.Unmarshal(raw, &two)
	} else {
		var one string
		if err = json.Unmarshal(raw, &one); err == nil {
			if strings.HasPrefix(one, "#version") {
				return "", "", nil
			}
			two = strings.Split(one, " ")
		}
	}
	if err != nil {
		return "", "", err
	}
	if len(two) != 2 || two[0] == "" || two[1] == "" {
		return "", "", fmt.Errorf("%s is not a pair of tokens", raw)
	}
	return two[0], two[1], nil
}

// runeTable maps a rune to an id, without hashing in the basic plane.
type runeTable struct {
	basic []int32 // id + 1
	other map[rune]int32
}

func (t *runeTable) set(r rune, id int32) {
	if r >= 1<<16 {
		if t.other == nil {
			t.other = map[rune]int32{}
		}
		t.other[r] = id
		return
	}
	if t.basic == nil {
		t.basic = make([]int32, 1<<16)
	}
	t.basic[r] = id + 1
}

// get returns the rune's id, or -1.
func (t *runeTable) get(r rune) int32 {
	if int(r) < len(t.basic) {
		return t.basic[r] - 1
	}
	if id, ok := t.other[r]; ok {
		return id
	}
	return -1
}
