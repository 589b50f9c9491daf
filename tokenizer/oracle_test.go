package tokenizer

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// shared is a path in the folder beside the repository that holds Phi-3.5's tokenizer and its reference cases,
// or in the folder that SO8T_SHARED names. Where it is absent the test is skipped, unless SO8T_REQUIRE_SHARED is 1.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	root := os.Getenv("SO8T_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	path := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("SO8T_REQUIRE_SHARED") == "1" {
			t.Fatalf("SO8T_REQUIRE_SHARED=1, but %s is absent", path)
		}
		t.Skipf("%s is absent", path)
	}
	return path
}

func phi35(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := Load(shared(t, "phi35"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

type oracleCase struct {
	Text                string
	IDs                 []int32
	Decoded             string
	DecodedSkipSpecial  string `json:"decoded_skip_special"`
	DecodeOnly          bool   `json:"decode_only"`
	Messages            []Message
	AddGenerationPrompt bool `json:"add_generation_prompt"`
}

func readCases(t testing.TB, path string) []oracleCase {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []oracleCase
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c oracleCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil || len(cases) == 0 {
		t.Fatalf("%s: %d cases, %v", path, len(cases), err)
	}
	return cases
}

// oracleCases reads a file of the reference set, or of the set that SO8T_ORACLE names, where that has one for the tokenizer.
func oracleCases(t testing.TB, file string) []oracleCase {
	t.Helper()
	if oracle := os.Getenv("SO8T_ORACLE"); oracle != "" {
		path := filepath.Join(oracle, "tokenizer", file)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return readCases(t, path)
		}
	}
	return readCases(t, shared(t, "oracle", "tokenizer", file))
}

func TestOracleTokenizerEncode(t *testing.T) {
	tok := phi35(t)
	for _, c := range oracleCases(t, "encode.jsonl") {
		checkEncode(t, tok, c)
		checkDecode(t, tok, c.IDs, false, c.Decoded)
		checkDecode(t, tok, c.IDs, true, c.DecodedSkipSpecial)
	}
}

func TestOracleTokenizerDecode(t *testing.T) {
	tok := phi35(t)
	for _, c := range oracleCases(t, "decode.jsonl") {
		checkDecode(t, tok, c.IDs, false, c.Decoded)
	}
}

func TestOracleTokenizerChat(t *testing.T) {
	tok := phi35(t)
	for _, c := range oracleCases(t, "chat.jsonl") {
		text, err := tok.ApplyChatTemplate(c.Messages, c.AddGenerationPrompt)
		if err != nil {
			t.Fatal(err)
		}
		if text != c.Text {
			t.Errorf("chat template\n got %q\nwant %q", text, c.Text)
		}
		checkEncode(t, tok, c)
	}
}

func checkEncode(t *testing.T, tok *Tokenizer, c oracleCase) {
	t.Helper()
	if ids := tok.Encode(c.Text); !slices.Equal(ids, c.IDs) {
		t.Errorf("Encode(%q)\n got %v\nwant %v", c.Text, ids, c.IDs)
	}
}

// checkDecode compares Decode, and the concatenation of a Stream's texts, with want.
func checkDecode(t *testing.T, tok *Tokenizer, ids []int32, skipSpecial bool, want string) {
	t.Helper()
	if got := tok.Decode(ids, skipSpecial); got != want {
		t.Errorf("Decode(%v, %t)\n got %q\nwant %q", ids, skipSpecial, got, want)
	}
	stream, got := tok.NewStream(skipSpecial), ""
	for _, id := range ids {
		got += stream.Push(id)
	}
	if got += stream.Flush(); got != want {
		t.Errorf("Stream(%v, %t)\n got %q\nwant %q", ids, skipSpecial, got, want)
	}
}
