package policy

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// holdProperties checks what is true of any text.
func holdProperties(t *testing.T, text string) {
	t.Helper()
	all := findPersonal(text)
	end := 0
	for _, f := range all {
		if f.start < end || f.end <= f.start || f.end > len(text) {
			t.Fatalf("%q: %v overlaps or lies outside", text, all)
		}
		if utf8.ValidString(text) && !(utf8.RuneStart(text[f.start]) && (f.end == len(text) || utf8.RuneStart(text[f.end]))) {
			t.Fatalf("%q: %v is no boundary of characters", text, f)
		}
		end = f.end
	}
	masked := Masked(text)
	if len(all) == 0 && masked != text {
		t.Fatalf("%q has no personal data and becomes %q", text, masked)
	}
	if left := Personal(masked); len(left) > 0 {
		t.Fatalf("%q: %v is still found in %q", text, left, masked)
	}
	if again := Masked(masked); again != masked {
		t.Fatalf("%q masked twice: %q, %q", text, masked, again)
	}
	// What stands between the values is unchanged, byte for byte.
	rest, at := masked, 0
	for _, f := range all {
		before, ok := strings.CutPrefix(rest, text[at:f.start]+maskOf(f.kind))
		if !ok {
			t.Fatalf("%q: another text before %v in %q", text, f, masked)
		}
		rest, at = before, f.end
	}
	if rest != text[at:] {
		t.Fatalf("%q: another text behind the last value in %q", text, masked)
	}
}

// TestMaskingSets holds the properties on every text of the sets, on texts of two and three, and on pieces of them.
func TestMaskingSets(t *testing.T) {
	var texts []string
	for _, path := range append(sets("pii.jsonl"), "testdata/cases/pii_own.jsonl") {
		for _, c := range readSet[personalCase](t, path) {
			texts = append(texts, c.Text)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		a, b := texts[random.IntN(len(texts))], texts[random.IntN(len(texts))]
		runes := []rune(a + b)
		from := random.IntN(len(runes))
		texts = append(texts, a+b, a+" "+b+"\n"+a, string(runes[from:]), string(runes[:from]))
	}
	for _, text := range texts {
		holdProperties(t, text)
	}
}

// TestMasks: no mask holds a digit or a "<", and no rule finds one, whatever stands around it.
func TestMasks(t *testing.T) {
	for _, k := range kinds {
		if strings.ContainsAny(k.mask, "<0123456789") {
			t.Errorf("%s", k.mask)
		}
		for _, text := range []string{"電話" + k.mask, k.mask + " 0312340098", k.mask + "@example", k.mask + " 1234567", "a" + k.mask + "TK1234567"} {
			if got := Personal(text); len(got) > 0 {
				t.Errorf("%q: %v", text, got)
			}
		}
	}
}

// TestMaskPersonal: what is named by the caller alone is replaced, and its place is counted in characters of the text before.
func TestMaskPersonal(t *testing.T) {
	text := "連絡先は𠮷@a.b x.y@example.comと電話090-1234-5678、接続元203.0.113.9です"
	masked, masks := maskPersonal(text, func(kind string) bool { return kind != ipAddress })
	if want := "連絡先は𠮷@a.b [EMAIL]と電話[PHONE]、接続元203.0.113.9です"; masked != want {
		t.Errorf("%q, want %q", masked, want)
	}
	want := []Mask{{Kind: email, Span: Span{Start: 10, Length: 15}}, {Kind: phone, Span: Span{Start: 28, Length: 13}}}
	if !slices.Equal(masks, want) {
		t.Errorf("%v, want %v", masks, want)
	}
}

// TestFold: the map of offsets is whole, and voiced marks are composed.
func TestFold(t *testing.T) {
	text := "ﾃﾞﾝﾜ　０３－１\xff㊙か\u3099"
	f := fold(text)
	if got := string(f.r); got != "デンワ 03-1\uFFFD㊙が" {
		t.Errorf("%q", got)
	}
	if len(f.at) != len(f.r)+1 || int(f.at[len(f.r)]) != len(text) || !slices.IsSorted(f.at) {
		t.Errorf("%v", f.at)
	}
}

// TestValidPhones: the expressions say what libphonenumber says.
func TestValidPhones(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	agree := 0
	for range 4000 {
		digits := make([]byte, 10+random.IntN(2))
		for i := range digits {
			digits[i] = '0' + byte(random.IntN(10))
		}
		digits[0] = '0'
		number, err := phonenumbers.Parse(string(digits), "JP")
		want := err == nil && phonenumbers.IsValidNumberForRegion(number, "JP")
		// libphonenumber reads 0 and a carrier's digits as a prefix, and 010 as the way abroad.
		if got := validIn("JP", digits[1:]); got == want {
			agree++
		} else if got {
			t.Errorf("%s: valid, libphonenumber says no", digits)
		}
		abroad := "+" + []string{"44", "49", "33", "1", "81", "86", "82", "61", "7", "599"}[random.IntN(10)] + string(digits[2:])
		number, err = phonenumbers.Parse(abroad, "")
		if want, got := err == nil && phonenumbers.IsValidNumber(number), validAbroad([]byte(abroad[1:])); want != got {
			t.Errorf("%s: %t, libphonenumber %t", abroad, got, want)
		}
	}
	if agree < 3950 {
		t.Errorf("agrees with libphonenumber on %d of 4000", agree)
	}
}

// hostile are texts that a rule might read again and again.
func hostile(size int) map[string]string {
	texts := map[string]string{}
	for _, piece := range []string{"1", "12 ", "123-", "1.2.", "a@", "@", "-", " ", "〇", "一", "四丁目", "市", "市見本1-", "電話", "電話0312345678 ",
		"0312340098,", "03-1234-0098 ", "+81", "+1 ",
		"4111 1111 1111 1111 ", "GB82 WEST 1234 ", "2001:", ":", "a.b@example.com ", "[EMAIL]", "Ave ", "1-2 A ", "742 Sample Street, ",
		"普通 1234567 ", "\"a\"@", "社外秘 ", "【", "この資料は極秘", "confidential ",
		"1234567 ", "x.", "a@b.", "番号", "ー1", "1-2-3 Mihon-cho, ", "千代田区見本町1-2-3 ", "203.0.113.7 ", "が゛", "ﾞ", "マイナンバー123456789018 ", "AB12345678CD"} {
		texts[piece] = strings.Repeat(piece, size/len(piece))
	}
	return texts
}

// TestLinear: half a megabyte of anything takes seconds at most, on a busy machine too; read again and again it would take minutes.
func TestLinear(t *testing.T) {
	for piece, text := range hostile(1 << 19) {
		began := time.Now()
		findPersonal(text)
		Confidential(text)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q repeated to half a megabyte: %v", piece, took)
		} else if took > 250*time.Millisecond {
			t.Logf("%q: %.1f MB/s", piece, float64(len(text))/1e6/took.Seconds())
		}
	}
}

func BenchmarkPersonal(b *testing.B) {
	demo, err := os.ReadFile(filepath.Join("../demo/data/four_class_demo.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	var cases strings.Builder
	data, err := os.ReadFile("testdata/cases/pii.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	for range 8 {
		cases.Write(data)
	}
	texts := map[string]string{"demo": string(demo), "cases": cases.String()}
	for _, piece := range []string{"1", "12 ", "1234567 ", "03-1234-0098 ", "a.b@example.com "} {
		texts["hostile "+piece] = strings.Repeat(piece, 1<<20/len(piece))
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range texts {
			if !yield(name) {
				return
			}
		}
	}) {
		lines := strings.SplitAfter(texts[name], "\n")
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(texts[name])))
			for range b.N {
				for _, line := range lines {
					findPersonal(line)
					Confidential(line)
				}
			}
		})
	}
}
