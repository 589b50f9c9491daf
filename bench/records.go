package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strings"

	"so8t/quadruple"
)

// commonKanji make compounds, and syllables English words, that rarely recur: real text does not repeat itself as a list of words does.
var (
	commonKanji = []rune("日一国人年大十二本中長出三時行見月後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川千水半男西電校語土木聞食車何南万" +
		"毎白天母火右読友左休父雨会同事自社発者地業方新場員立開手力問代明動京目通言理体田主題意不作用度強公持野以思家世多正安院心界教文元重近考画海売知" +
		"集別物使品計死特私始朝運終台広住無真有口少町料工建空急止送切転研足究楽起着店病質待試族銀早映親験英医仕去味写字答夜音注帰古歌買悪図週室歩風紙")
	syllables = strings.Fields("con ver ta tion re mi sol per ant ing fo ler dis pa na ble str ock um ex qui lo mar sen tic pro du ce wa th")
)

// Words of generated records. What they say does not matter; a tokenizer and the policy's rules meet what they meet in
// business text: both languages, numbers, and a few values that look like personal data.
var (
	japaneseWords = strings.Fields(`契約書 見積 請求 納品 顧客 部門 担当者 会議 資料 議事録 予算 計画 実績 売上 在庫 出荷 配送 返品 品質 検査 設備 保守 障害 復旧
		権限 申請 承認 却下 監査 規程 教育 研修 採用 評価 給与 出張 経費 精算 製品 開発 設計 試験 公開 更新 削除 共有 印刷 翻訳 要約 分析 報告 通知 連絡 相談 確認 依頼 回答
		急ぎで 丁寧に 詳しく 簡単に 来週まで 本日中に 念のため できれば 場合によっては 原則として 必要に応じて 次のとおり 例えば ただし しかし そのため また なお`)
	japaneseEnds = strings.Fields(`を作成してください。 について教えてください。 を共有します。 は認められません。 を確認しました。 が必要です。 に引き継ぎます。
		を避けてください。 をまとめます。 ではありません。 と考えられます。 をお願いします。`)
	japaneseLinks = strings.Fields(`の は を が に と で も から まで より として について による における`)
	englishWords  = strings.Fields(`the report contract customer department manager should review prepare send before after quarterly budget
		estimate shipment quality inspection maintenance incident recovery access approval audit policy training candidate evaluation expense
		product development design release update delete share print translate summarise analyse notify confirm request because however
		therefore within according during internal external temporary permanent available responsible urgent careful detailed simple`)
)

// writeRecords writes four-class records of about size bytes, a median of 1.5 kB each, the same at every call.
func writeRecords(path string, size int64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(7, 11))
	for written := int64(0); written < size; {
		line, err := json.Marshal(generated(r))
		if err != nil {
			return err
		}
		n, err := w.Write(append(line, '\n'))
		if err != nil {
			return err
		}
		written += int64(n)
	}
	return w.Flush()
}

func generated(r *rand.Rand) map[string]any {
	prose := japanese
	if r.IntN(4) == 0 {
		prose = english
	}
	instruction := prose(r, 120+r.IntN(400))
	if r.IntN(200) == 0 {
		instruction += " 連絡先は 03-1234-5678、sales@example.co.jp です。"
	}
	record := map[string]any{"instruction": instruction, "input": "", "output": prose(r, 300+int(900*r.ExpFloat64())),
		"four_class_label": quadruple.Labels[r.IntN(4)], "domain_label": "office", "license": "CC0-1.0"}
	if r.IntN(3) == 0 {
		record["input"] = prose(r, 200)
	}
	return record
}

func japanese(r *rand.Rand, size int) string {
	var b strings.Builder
	for b.Len() < size {
		for range 1 + r.IntN(4) {
			if r.IntN(2) == 0 {
				b.WriteRune(commonKanji[r.IntN(len(commonKanji))])
				b.WriteRune(commonKanji[r.IntN(len(commonKanji))])
			} else {
				b.WriteString(japaneseWords[r.IntN(len(japaneseWords))])
			}
			b.WriteString(japaneseLinks[r.IntN(len(japaneseLinks))])
		}
		b.WriteString(japaneseWords[r.IntN(len(japaneseWords))])
		b.WriteString(japaneseEnds[r.IntN(len(japaneseEnds))])
	}
	return b.String()
}

func english(r *rand.Rand, size int) string {
	var b strings.Builder
	for b.Len() < size {
		for range 4 + r.IntN(10) {
			if r.IntN(3) > 0 {
				b.WriteString(englishWords[r.IntN(len(englishWords))] + " ")
				continue
			}
			for range 2 + r.IntN(3) {
				b.WriteString(syllables[r.IntN(len(syllables))])
			}
			b.WriteString(" ")
		}
		b.WriteString(englishWords[r.IntN(len(englishWords))] + ". ")
	}
	return b.String()
}
