package tokenizer

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// japanese is about one megabyte of sentences in changing order, so that no line comes twice in a row.
func japanese() string {
	phrases := []string{"この契約書の", "取引先の担当者が", "昨年度の売上について", "個人情報を含む", "社内の", "お客様から", "新しい製品の", "会議で決まった", "退職した社員の", "東京都千代田区の",
		"資料を", "電話番号を", "見積もりを", "設計図と仕様書を", "報告書（案）を", "パスワードを", "スケジュールを", "議事録を",
		"公開してもよいですか。", "教えてください。", "まとめて送ってください。", "確認のうえ、返信をお願いします。", "外部に渡すことはできません。", "削除しました。", "要約すると、次の３点です。", "2024年10月までに提出する必要があります。",
		"decision: ESCALATION\n", "Python で書くと次のようになります。\n", "機密情報を含むため、お答えできません。", "天気は晴れ、気温は25度でした。"}
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < 1<<20 {
		b.WriteString(phrases[r.IntN(10)])
		b.WriteString(phrases[10+r.IntN(8)])
		b.WriteString(phrases[18+r.IntN(12)])
	}
	return b.String()
}

// BenchmarkEncode reports MB/s of Japanese text on one core, with Phi-3.5's tokenizer where it is at hand.
func BenchmarkEncode(b *testing.B) {
	text := japanese()
	for name, open := range map[string]func(testing.TB) *Tokenizer{
		"phi35": phi35,
		"small": func(t testing.TB) *Tokenizer { return load(t, filepath.Join("fallback")) },
	} {
		b.Run(name, func(b *testing.B) {
			tok := open(b)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tok.Encode(text)
			}
		})
	}
}

// BenchmarkEncodeRecords is the same over texts of a record's length.
func BenchmarkEncodeRecords(b *testing.B) {
	tok := phi35(b)
	text := japanese()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		for rest := text; rest != ""; {
			n := min(len(rest), 900)
			tok.Encode(rest[:n])
			rest = rest[n:]
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := phi35(b)
	text := japanese()
	ids := tok.Encode(text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Decode(ids, false)
	}
}

func BenchmarkApplyChatTemplate(b *testing.B) {
	tok := load(b, "fallback")
	turns := []Message{{"system", "規則"}, {"user", strings.Repeat("質問", 100)}, {"assistant", strings.Repeat("答え", 100)}}
	for b.Loop() {
		if _, err := tok.ApplyChatTemplate(turns, false); err != nil {
			b.Fatal(err)
		}
	}
}
