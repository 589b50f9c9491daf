package policy

import (
	"slices"
	"strings"
)

// fields are the names of fields of classification, lower case; longer names end with them.
var fields = strings.Split("区分|分類|機密|ステータス|status|機密レベル|機密度|秘密度|機密性|秘匿性|秘匿度|公開範囲|取扱|取扱い|取り扱い|格付|格付け|情報レベル|セキュリティレベル|セキュリティランク|開示範囲|閲覧範囲|配布範囲|"+
	"機密ランク|重要度|機密等級|秘密等級|ラベル|機密ラベル|classification|sensitivity|confidentiality|security level|classification level|confidentiality level|"+
	"sensitivity level|handling|"+
	"distribution|marking|protective marking|label|sensitivity label|security marking|access level|data class|security|security class|document class", "|")

// classified: 機密区分：社外秘, Classification: Confidential, | 取扱区分 | 極秘 |.
func (t *folded) classified(m marker) bool {
	switch c := t.peek(m.end); {
	case isKanji(c), isKatakana(c), isHiragana(c), t.isTopic(m.end) && c != '"', c == '/', c == '・':
		return false
	}
	if m.latin && !t.valueEnds(m.end) {
		return false
	}
	i, separated := m.start, false
	for n := 0; i > 0 && n < 20; n++ {
		c := t.r[i-1]
		if strings.ContainsRune(":=|\t>,", c) || isHyphen(c) && t.peek(i-2) == ' ' {
			separated = true
		} else if !strings.ContainsRune(" \"'*_`[]()【】", c) && !isHyphen(c) {
			break
		}
		i--
	}
	return separated && t.isField(i) || t.inField(m)
}

// isField tells whether the name of a field of classification ends before rune i.
func (t *folded) isField(i int) bool {
	for _, field := range fields {
		if start, ok := t.matchLabel([]rune(field), i); ok {
			return !isLetter(t.peek(start - 1))
		}
	}
	return false
}

// inField tells whether a marker fills a cell of a column of classification.
func (t *folded) inField(m marker) bool {
	k, ok := t.cellBegin(m.start)
	if !ok {
		return false
	}
	at, r := t.rowAt(m.start)
	end := t.cellEnd(r, m.end)
	if r.head == at || strings.Trim(string(t.r[m.end:end]), " \"*") != "" {
		return false
	}
	head := t.rows[r.head]
	i := head.start
	for range t.column(r, k) {
		i = t.cellEnd(head, i) + 1
	}
	end = t.cellEnd(head, i)
	for end > i && strings.ContainsRune(" \"*", t.r[end-1]) {
		end--
	}
	return t.isField(end)
}

// valueEnds tells whether the value of a field ends before rune i: no sentence goes on.
func (t *folded) valueEnds(i int) bool {
	c := t.peek(i)
	if c != ' ' {
		return true
	}
	next := t.peek(i + 1)
	return !isLetter(next) || isUpper(next)
}

// papers are what a text calls itself, behind 本, この or 当.
var papers = strings.Split("資料|書|文書|メール|電子メール|書類|ファイル|紙|ドキュメント|報告書|データ|情報|内容|契約書|議事録|通知|レポート|スライド|計画書|提案書|マニュアル|一覧|書面|文面|案|件名|"+
	"仕様書|手順書|設計書|記録|連絡|メッセージ|ページ|添付資料|添付ファイル|添付|稟議書|企画書|見積書|原稿|図面|名簿|リスト|メモ|手引|手引き|規程|規定|覚書|通達|文章|冊子|会議資料|提案|計画|契約", "|")

// saidOfItself: 本資料は社外秘です, This email … confidential. A question and a denial are none.
func (t *folded) saidOfItself(m marker) bool {
	if m.latin {
		return t.saidInEnglish(m)
	}
	// The subject stands before the marker, in the same sentence.
	start := m.start
	for m.start-start < 50 && !strings.ContainsRune("\n。!?", t.peek(start-1)) {
		start--
	}
	topic := -1
	for i := m.start - 1; i > start; i-- {
		if c := t.r[i]; (c == 'は' || c == '、' && topic < 0 || c == 'も') && m.start-i <= 16 {
			if t.isSubject(start, i) {
				topic = i
				break
			}
		}
	}
	return topic > 0 && !t.quoted(start, m.start) && t.affirmed(m.end)
}

// quoted tells whether a quotation is open at rune end of a sentence that begins at rune start.
func (t *folded) quoted(start, end int) bool {
	open := 0
	for _, c := range t.r[start:end] {
		switch c {
		case '「', '『', '“', '‘':
			open++
		case '」', '』', '”':
			open--
		case '"':
			open = 1 - open
		}
	}
	return open > 0
}

// isSubject tells whether the text itself is what [start, end) names: 本資料, この文書の内容, 以下の情報.
func (t *folded) isSubject(start, end int) bool {
	for i := start; i < end; i++ {
		if !strings.ContainsRune("本こ当以下上次添", t.r[i]) || end-i > 30 {
			continue
		}
		for _, word := range []string{"以下", "下記", "上記", "次の内容", "添付"} {
			if t.hasAt(i, word) && end-i <= 16 {
				return true
			}
		}
		for _, this := range []string{"本", "この", "こちらの", "当", "これらの"} {
			if !t.hasAt(i, this) || this == "本" && isKanji(t.peek(i-1)) {
				continue
			}
			for _, paper := range papers {
				if t.hasAt(i+len([]rune(this)), paper) {
					return true
				}
			}
		}
	}
	return false
}

// affirmed tells whether a sentence goes on behind the marker as a statement: です, とする, につき, 扱い, の情報を含む.
func (t *folded) affirmed(i int) bool {
	end := i
	for end-i < 60 && !strings.ContainsRune("\n。!?", t.peek(end)) {
		end++
	}
	rest := strings.ReplaceAll(string(t.r[i:end]), " ", "")
	if t.peek(end) == '?' || strings.HasSuffix(rest, "か") {
		return false
	}
	for _, denial := range []string{"ではあり", "ではな", "でない", "じゃない", "じゃあり", "でなく", "ではござ", "に該当しな", "に該当しま", "に含まれな", "に含まれま", "に指定されていな", "に指定されていません",
		"には当た", "に当たら", "に当たりませ", "にあたらな", "の対象外", "から解除",
		"を解除", "ではなく", "には該当しな", "とは限", "とは言", "とはいえ", "かどうか", "かは", "かも", "なら", "だと思", "でしたら", "であれば", "だった", "でした", "とされていた", "とは", "の表示", "と書", "の意味",
		"のマーク", "について", "に関する", "の扱い方", "を理由", "という"} {
		for _, noun := range []string{"", "扱い", "情報"} {
			if strings.HasPrefix(rest, noun+denial) {
				return false
			}
		}
	}
	if rest == "" {
		return true
	}
	for _, goes := range []string{"です", "である", "であり", "だ", "とし", "とする", "と致し", "といたし", "となり", "となっ", "扱", "につき", "のため", "なので", "に指定", "に分類", "に該当", "指定",
		"として", "の情報", "情報", "の内容", "事項", "の資料", "資料", "文書", "の文書", "でお願い", "にてお願い", "で願", "に付き", "ゆえ", "、", "(", "でござ", "の取", "を含", "に区分", "とされ", "とさせ", "にし",
		"でご", "の書類", "書類", "のもの", "レベル", "区分", "の社", "の対象"} {
		if strings.HasPrefix(rest, goes) {
			return true
		}
	}
	return false
}

var (
	englishPapers = strings.Split("email|e-mail|mail|message|document|report|memo|memorandum|presentation|file|communication|letter|material|materials|"+
		"deck|page|transmission|"+
		"attachment|attachments|information|spreadsheet|draft|agreement|proposal|handbook|manual|policy|plan|record|records|note|notes|slide|slides|"+
		"paper|correspondence|summary|"+
		"contents|content|newsletter|fax|notice|contract|specification|guide|data|brief|briefing|text|list|form|email's", "|")
	// englishLinks may stand between the verb and the marker.
	englishLinks = strings.Split("strictly|highly|company|privileged|and|legally|proprietary|considered|deemed|marked|classified|as|top|secret|for|the|"+
		"internal|use|only|a|an|to|be|"+
		"treated|may|contain|contains|include|includes|is|are|private|also|hereby|designated|intended|provided|in|confidence|or|sensitive|labelled|"+
		"labeled|solely|purely|our|some|should|must", "|")
	englishVerbs = []string{"is", "are", "contain", "contains", "include", "includes", "may", "should", "must"}
)

// saidInEnglish: This document is strictly confidential; the information in this message is for internal use only.
func (t *folded) saidInEnglish(m marker) bool {
	start := m.start
	for m.start-start < 120 && !strings.ContainsRune("\n!?", t.peek(start-1)) && !(t.peek(start-1) == ' ' && t.peek(start-2) == '.') {
		start--
	}
	words := strings.FieldsFunc(strings.ToLower(string(t.r[start:m.start])), func(r rune) bool { return !isWord(r) && r != '-' && r != '\'' })
	k := len(words)
	verb := false
	for k > 0 && slices.Contains(englishLinks, words[k-1]) {
		k--
		verb = verb || slices.Contains(englishVerbs, words[k])
	}
	this := slices.IndexFunc(words, func(w string) bool {
		return slices.Contains([]string{"this", "these", "following", "attached", "enclosed"}, w)
	})
	if !verb || this < 0 || this >= k || k-this > 12 || this+1 >= len(words) {
		return false
	}
	for _, w := range words[:this] {
		if slices.Contains([]string{"if", "whether", "when", "is", "are", "does", "say", "says", "unless", "assume", "why", "suppose", "mark", "think"}, w) {
			return false
		}
	}
	paper := false
	for _, w := range words[this+1 : k] {
		paper = paper || slices.Contains(englishPapers, w)
	}
	end := m.end
	for end-m.end < 120 && !strings.ContainsRune("\n.!?", t.peek(end)) {
		end++
	}
	denied := slices.ContainsFunc(words, func(w string) bool { return w == "not" || w == "explains" || w == "about" })
	return paper && !denied && !t.quoted(start, m.start) && t.peek(end) != '?'
}
