package quadruple

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// pieces are ways to cut a text: whole, by bytes, by characters, and at random.
func pieces(text string, r *rand.Rand) map[string][]string {
	cuts := map[string][]string{"whole": {text}, "bytes": nil, "characters": nil}
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
	return cuts
}

// read feeds the pieces to a Stream and joins its events by section.
func read(pieces []string) (texts [4]string, events []Event, end End) {
	var s Stream
	for _, p := range pieces {
		events = append(events, s.Write(p)...)
	}
	events = append(events, s.Close()...)
	for _, e := range events {
		texts[e.Section] += e.Text
	}
	return texts, events, s.End()
}

// The set's README says by which rules the answers were worked out, twice.
func TestWhatMayLeave(t *testing.T) {
	file, err := os.Open("testdata/leak.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := rand.New(rand.NewPCG(1, 2))
	cases := 0
	for lines := bufio.NewScanner(file); lines.Scan(); cases++ {
		var c struct {
			ID, Output, Why string
			Bytes           []byte  `json:"output_b64"`
			Answer          *string // nil: nothing may leave
			End             End
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		text, want := c.Output, ""
		if c.Bytes != nil {
			text = string(c.Bytes)
		}
		if c.Answer != nil {
			want = strings.TrimSpace(*c.Answer)
		}
		for name, cut := range pieces(text, r) {
			if got, _, end := read(cut); got[Final] != want || end != c.End {
				t.Errorf("%s, %s: %q, %s; want %q, %s: %s", c.ID, name, got[Final], end, want, c.End, c.Why)
			}
		}
	}
	if cases < 100 {
		t.Errorf("only %d cases", cases)
	}
}

func TestStreamEvents(t *testing.T) {
	text := " <think-task>t</think-task>\n<think-safety>decision: DENY\nwhy</think-safety><think-policy></think-policy><final> no \n</final>"
	want := []Event{{Began, ThinkTask, ""}, {Text, ThinkTask, "t"}, {Ended, ThinkTask, ""},
		{Began, ThinkSafety, ""}, {Text, ThinkSafety, "decision: DENY\nwhy"}, {Ended, ThinkSafety, ""},
		{Began, ThinkPolicy, ""}, {Text, ThinkPolicy, ""}, {Ended, ThinkPolicy, ""}, {Began, Final, ""}, {Text, Final, "no"}, {Ended, Final, ""}}
	var s Stream
	got := s.Write(text)
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("event %d is %v, want %v", i, got[i], want[i])
		}
	}
	if s.End() != Closed || s.Decision() != "DENY" || s.Write("more") != nil || s.Close() != nil {
		t.Errorf("end %q, decision %q", s.End(), s.Decision())
	}
}

// Text leaves as soon as it can become nothing else, and not before.
func TestStreamHoldsBack(t *testing.T) {
	const head = "<think-task></think-task><think-safety>decision: ALLOW\nthis is a guarded line</think-safety><think-policy></think-policy><final>"
	for _, c := range []struct{ name, text, want string }{
		{"plain text", "abc", "abc"},
		{"a tag that begins", "abc</fin", "abc"},
		{"a tag that is none", "a</fins", "a</fins"},
		{"half a character", "abc\xe3\x81", "abc"},
		{"white space", "abc \n", "abc"},
		{"white space that ends", "abc \ne", "abc \ne"},
		{"a line that begins with decision", "x\ndecision: ALL", "x"},
		{"a line that goes on otherwise", "x\ndecision: ALLO ", "x\ndecision: ALLO"},
		{"a label that goes on", "x\ndecision: ALLOWED", "x\ndecision: ALLOWED"},
		{"an echo that begins", "well, this is a guar", "well,"},
		{"an echo that ends", "well, this is a guarding", "well, this is a guarding"},
		{"an entity", "a &l", "a"},
		{"another entity", "a &le;", "a &le;"},
	} {
		var s Stream
		if got := Visible(s.Write(head + c.text)); got != c.want {
			t.Errorf("%s: %q left, want %q", c.name, got, c.want)
		}
	}
}

func TestAnswer(t *testing.T) {
	const head = "<think-task></think-task><think-safety>decision: ALLOW\nthis is a guarded line of it</think-safety>" +
		"<think-policy>a guarded line of its own</think-policy><final>"
	for _, c := range []struct {
		name, text, want string
		end              End
	}{
		{"closed", "yes</final> and more", "yes", Closed},
		{"open", "yes", "yes", Open},
		{"blank", " \n</final>", "", Closed},
		{"closing tag without its last character", "yes</final", "yes", Cut},
		{"closing tag with a space", "yes</final >", "yes", Cut},
		{"two brackets", "yes<</final>", "yes<", Closed},
		{"a decision at the end", "yes\ndecision: DENY", "yes", Cut},
		{"a decision closed by the end", "yes\ndecision: DENY</final>", "yes", Cut},
		{"an echo within an echo that fails", "this is a guarded line, a guarded line of its own", "this is a guarded line,", Cut},
		{"the earlier of two", "this is a guarded line of it a guarded line of its own", "", Cut},
		{"invalid bytes", "a\xffb</final>", "a\xffb", Closed},
		{"ligature", "x<ﬁnal>", "x", Cut},
	} {
		if got, end := Answer(head + c.text); got != c.want || end != c.end {
			t.Errorf("%s: %q, %s; want %q, %s", c.name, got, end, c.want, c.end)
		}
	}
	if got, end := Answer(strings.Replace(head, "ALLOW", "MAYBE", 1) + "yes</final>"); got != "" || end != Malformed {
		t.Errorf("no decision: %q, %s", got, end)
	}
}

// Long text that is held back must not be read again with every piece.
func TestStreamIsLinear(t *testing.T) {
	const head = "<think-task></think-task><think-safety>decision: ALLOW</think-safety><think-policy></think-policy><final>"
	var s Stream
	s.Write(head + "x")
	for range 1 << 20 {
		s.Write(" ")
	}
	if got := Visible(s.Write("y")); len(got) != 1<<20+1 {
		t.Errorf("%d bytes left", len(got))
	}
}

func BenchmarkStream(b *testing.B) {
	piece := "在庫表の最新版は共有フォルダーの「在庫」にあります。This line is plain.\n"
	var s Stream
	s.Write("<think-task></think-task><think-safety>decision: ALLOW\nthis is a guarded line of it</think-safety><think-policy></think-policy><final>")
	b.SetBytes(int64(len(piece)))
	for b.Loop() {
		s.Write(piece)
	}
}

func FuzzStream(f *testing.F) {
	f.Add(Quadruple{Task: "t", Safety: DecisionLine("DENY") + "\nwhy this is a longer line", Policy: "p", Final: " f\n"}.String(), uint64(1))
	f.Add("<think-task>x</think-task> <think-safety>decision: ALLOW</think-safety><think-policy>あいうえおあいうえおあいうえおあいうえお</think-policy><final>a < b\ndecision: D"+
		"ENY &lt;thi あいうえおあいうえおあ</fi</final>", uint64(2))
	f.Add("<final>\xe3\x81", uint64(3))
	f.Fuzz(holds)
}

// Texts made of what the form is made of come further than arbitrary ones.
func TestStreamOnFragments(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	form := []string{"<think-task>", "</think-task>", "<think-safety>", DecisionLine("DENY"), "</think-safety>", "<think-policy>", "</think-policy>",
		"<final>", "</final>"}
	parts := append([]string{" ", "\n", "<", "</", "final", "think", "&lt;", "/", ">", "decision:", "ALLOW", "x", "あ", "＜", "\u200b", "\xe3", "\x81",
		"この行は十六文字より長いので守られる", "この行は十六文字", "a guarded line of it", "a guarded line "}, form...)
	ends := map[End]int{}
	for range 3000 {
		text := ""
		for _, tag := range form {
			if r.IntN(60) > 0 && (tag != Final.Closing() || r.IntN(3) > 0) {
				text += tag
			}
			if tag == DecisionLine("DENY") {
				text += "\n"
			}
			for !strings.HasPrefix(tag, "</") && r.IntN(5) > 0 {
				text += parts[r.IntN(len(parts)-len(form)*min(1, r.IntN(40)))]
			}
		}
		holds(t, text, r.Uint64())
		_, end := Answer(text)
		ends[end]++
	}
	for _, end := range []End{Closed, Cut, Open, Malformed} {
		if ends[end] < 30 {
			t.Errorf("of 3000 texts %d end %s: %v", ends[end], end, ends)
		}
	}
}

// holds cuts a text in several ways: the events must say the same. A well-formed answer from which nothing is cut is
// what Parse reads; nothing malformed leaves.
func holds(t *testing.T, text string, seed uint64) {
	whole, _, end := read([]string{text})
	for name, cut := range pieces(text, rand.New(rand.NewPCG(seed, 0))) {
		texts, events, how := read(cut)
		if texts != whole || how != end {
			t.Fatalf("%s: %q, %s; whole %q, %s", name, texts, how, whole, end)
		}
		began := 0
		for _, e := range events {
			if e.Kind == Began && int(e.Section) != began || e.Kind != Began && int(e.Section) != began-1 {
				t.Fatalf("%s: events out of order: %v", name, events)
			}
			if e.Kind == Began {
				began++
			}
		}
	}
	q, ok := Parse(text)
	switch answer := whole[Final]; {
	case ok && end == Malformed, end == Malformed && answer != "", answer != strings.TrimSpace(answer):
		t.Fatalf("%q left, %s; well-formed %t", answer, end, ok)
	case ok && !strings.HasPrefix(strings.TrimSpace(q.Final), answer), ok && end == Closed && answer != strings.TrimSpace(q.Final):
		t.Fatalf("%q left of %q, %s", answer, q.Final, end)
	case ok && (whole[ThinkTask] != q.Task || whole[ThinkSafety] != q.Safety || whole[ThinkPolicy] != q.Policy):
		t.Fatalf("read %q, parsed %+v", whole, q)
	case ok && end == Closed && Leaked(text):
		t.Fatalf("all of %q left, though it leaks", answer)
	case strings.Contains(answer, "<think") || strings.Contains(answer, "<final") || strings.Contains(answer, "</final"):
		t.Fatalf("%q left", answer)
	}
}
