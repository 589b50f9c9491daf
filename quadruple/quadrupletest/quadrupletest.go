// Package quadrupletest has the outputs of models from which thinking must not leave, and ways to cut them, for tests of
// whatever stands between a model and its users.
package quadrupletest

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"so8t/quadruple"
	"so8t/tokenizer"
)

// Case is an output of a model, and what may leave of it.
type Case struct {
	ID     string
	Output string
	Answer string // trimmed; empty: nothing may leave
	End    quadruple.End
	Why    string
}

// root is the repository's folder.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../..")
}

// Cases reads leak.jsonl: the one kept here and, where there is one, that of the folder that SO8T_CASES names.
func Cases(t testing.TB) (cases []Case) {
	t.Helper()
	paths := []string{filepath.Join(root(), "quadruple/testdata/cases/leak.jsonl")}
	if dir := os.Getenv("SO8T_CASES"); dir != "" {
		if path := filepath.Join(dir, "leak.jsonl"); exists(path) {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		read := 0
		for line := range strings.Lines(string(data)) {
			var c struct {
				Case
				Bytes  []byte  `json:"output_b64"` // instead of output, where that ends inside a character
				Answer *string // nil: nothing may leave
			}
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if c.Bytes != nil {
				c.Output = string(c.Bytes)
			}
			if c.Answer != nil {
				c.Case.Answer = strings.TrimSpace(*c.Answer)
			}
			cases = append(cases, c.Case)
			read++
		}
		if t.Logf("%s: %d cases", path, read); read == 0 {
			t.Fatalf("%s holds no case", path)
		}
	}
	return cases
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var demo = sync.OnceValues(func() (*tokenizer.Tokenizer, error) { return tokenizer.Load(filepath.Join(root(), "demo/base")) })

// Cuts are ways to cut a text: whole, by bytes, by characters, by the tokens of the demo's tokenizer, and at random.
func Cuts(t testing.TB, text string, r *rand.Rand) map[string][]string {
	t.Helper()
	tok, err := demo()
	if err != nil {
		t.Fatal(err)
	}
	cuts := map[string][]string{"whole": {text}, "tokens": byTokens(tok, text)}
	for i := range len(text) {
		cuts["bytes"] = append(cuts["bytes"], text[i:i+1])
	}
	for rest := text; rest != ""; {
		_, size := utf8.DecodeRuneInString(rest)
		cuts["characters"], rest = append(cuts["characters"], rest[:size]), rest[size:]
	}
	for _, name := range []string{"random 1", "random 2", "random 3"} {
		for rest := text; rest != ""; {
			n := min(len(rest), 1+r.IntN(12))
			cuts[name], rest = append(cuts[name], rest[:n]), rest[n:]
		}
	}
	for name, pieces := range cuts {
		if strings.Join(pieces, "") != text {
			t.Fatalf("cut by %s, %q has become %q", name, text, pieces)
		}
	}
	return cuts
}

// byTokens cuts at the tokens' borders. What the tokenizer does not give back byte for byte, which is text that is not
// UTF-8 and the space that it puts in front, is one piece more or less.
func byTokens(tok *tokenizer.Tokenizer, text string) (pieces []string) {
	rest := text
	for _, id := range tok.Encode(text) {
		piece := tok.Bytes(id)
		if pieces == nil && !strings.HasPrefix(rest, piece) {
			piece = strings.TrimPrefix(piece, " ")
		}
		if !strings.HasPrefix(rest, piece) {
			break
		}
		if piece != "" {
			pieces, rest = append(pieces, piece), rest[len(piece):]
		}
	}
	if rest != "" {
		pieces = append(pieces, rest)
	}
	return pieces
}
