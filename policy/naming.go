package policy

import (
	"strings"
	"unicode/utf8"
)

// other is the kind of a word that names something else: an order, a version, an amount.
const other = "other"

// label is a word that names the number behind it. A space in it stands for any of "_-.'" and space, or for nothing.
type label struct {
	word []rune
	kind string
	weak bool // names its kind, but says nothing against another: "passport office 03-…"
}

// labels are the naming words by their last rune, lower case.
var labels = func() map[rune][]label {
	table := map[rune][]label{}
	for _, row := range []struct {
		kind  string
		weak  bool
		words string
	}{
		{phone, false, "電話|電話番号|お電話|携帯|携帯番号|携帯電話|携帯電話番号|スマホ|ケータイ|ファックス|ファクス|ファクシミリ|℡|☎|☏|📞|📱|📠|tel|telephone|" +
			"telephone number|telephone no|fax|fax number|fax no|phone|phone number|phone no|mobile|mobile number|cell|cell phone|cell number|連絡先電話番号"},
		{phone, true, "連絡先|連絡先番号|ご連絡|連絡は|問い合わせ|問合せ|問合わせ|お問い合わせ先|直通|call me at|call|ring"},
		{myNumber, false, "マイナンバー|個人番号|my number|individual number|マイナンバー番号"},
		{corporateNumber, false, "法人番号|登録番号|適格請求書発行事業者|適格請求書発行事業者番号|適格請求書発行事業者登録番号|インボイス番号|インボイス登録番号|" +
			"事業者登録番号|corporate number|corporate no|invoice registration number|registration number|qualified invoice issuer"},
		{creditCard, false, "カード番号|クレジットカード番号|クレカ番号|card number|card no"},
		{creditCard, true, "カード|クレジット|クレカ|card|visa|mastercard|master card|amex|american express|jcb|diners|discover|unionpay|銀聯"},
		{bankAccount, false, "口座番号|口座 no|口座 number|account number|account no|account #|acct #|acct no|acct|a/c no|a/c|bank account|bank account number"},
		{passport, false, "旅券番号|パスポート番号|パスポート no|passport number|passport no"},
		{passport, true, "旅券|パスポート|passport"},
		{driverLicense, false, "免許証番号|免許番号|運転免許証番号|運転免許番号|免許証 no|license number|licence number|license no|licence no"},
		{driverLicense, true, "免許証|運転免許|免許|driver s license|driver s licence|drivers license|driving licence|driving license"},
		{pensionNumber, false, "基礎年金番号|年金番号|年金手帳番号|pension number|pension no"},
		{residenceCard, false, "在留カード番号|在留カード no|residence card number|residence card no"},
		{residenceCard, true, "在留カード|residence card"},
		{ipAddress, true, "ip|ipアドレス|ip address|ip addr|ipv4|ipv6|ipv4アドレス|ipv6アドレス|サーバー|サーバ|server|ホスト|host|アクセス元|接続元|接続先|送信元|from|" +
			"client|remote|peer|addr|dns|ゲートウェイ|gateway|src|dst|source|destination|listen|ping"},
		{other, false, "注文|伝票|追跡|型番|品番|型式|isbn|issn|jan|janコード|ean|upc|sku|imei|iccid|uuid|guid|asin|doi|oid|order|order number|order no|" +
			"tracking|tracking number|tracking no|serial|serial number|serial no|s/n|part number|part no|シリアル|ロット|lot|lot no|コード|ハッシュ|hash|" +
			"タイムスタンプ|timestamp|id|チケット|ticket|issue|invoice|invoice no|reference|reference number|ref|郵便番号|〒|" +
			"問い合わせ番号|お問い合わせ番号|問合せ番号|問合わせ番号|商標登録番号|意匠登録番号|特許登録番号|車両登録番号|自動車登録番号|会員登録番号|製品登録番号|商品登録番号|ユーザー登録番号"},
		{other, true, "金額|価格|件数|合計|残高|出来高|数量|人口|売上|在庫|代金|料金|total|amount|price"},
		{version, false, "バージョン|ヴァージョン|ver|version|v|リビジョン|revision|rev|release|リリース|build|ビルド|ファームウェア|firmware|版|" +
			"章|節|項|第|section|chapter|§|アップデート|パッチ|patch|update"},
	} {
		for word := range strings.SplitSeq(row.words, "|") {
			l := label{[]rune(word), row.kind, row.weak}
			last := l.word[len(l.word)-1]
			table[last] = append(table[last], l)
		}
	}
	return table
}()

// labelEnds are the runes below 128 that a naming word ends with: most of a text is passed over by this table.
var labelEnds = func() (ends [utf8.RuneSelf]bool) {
	for r := range labels {
		if r < utf8.RuneSelf {
			ends[r] = true
		}
	}
	return ends
}()

// version is the kind of a word that names a release or a chapter: what follows is no address.
const version = "version"

// window is how far before a value its name may stand, and wide how far a cell or a run of spaces may stretch it.
const window, wide = 20, 80

// name is a naming word that was found, [start, end) in runes.
type name struct {
	label
	start, end int
}

// names calls yield with the naming words before rune i, the nearest first, until it returns false: those within 20
// characters on the line (spaces side by side count once), or in the cell before.
func (t *folded) names(i int, yield func(name) bool) {
	far := 0
	cells, cell := 0, t.behindCell(i)
	for e := i; e > 0 && i-e < wide; {
		r := t.r[e-1]
		if r == '\n' || r == opaque { // were a mask passed over, masking would bring a name nearer
			return
		}
		if r == '\t' || r == '|' {
			if cells++; cells > 1 && far > 0 {
				return
			}
		}
		if found, ok := t.nameEnding(e); ok {
			if !yield(found) {
				return
			}
			e = found.start
			far += found.end - found.start
		} else {
			if r != ' ' || t.peek(e) != ' ' {
				far++
			}
			e--
		}
		if far > window && e < cell {
			return
		}
	}
}

// behindCell returns where the cell before rune i begins, and i where none is before it.
func (t *folded) behindCell(i int) int {
	k := i
	for k > 0 && i-k < wide && strings.ContainsRune(" \"'(", t.r[k-1]) {
		k--
	}
	if k == 0 || !strings.ContainsRune("\t|,", t.r[k-1]) {
		return i
	}
	for k--; k > 0 && i-k < wide && !strings.ContainsRune("\t|,\n", t.r[k-1]); {
		k--
	}
	return k
}

// nameEnding returns the longest naming word that ends at rune e.
func (t *folded) nameEnding(e int) (found name, ok bool) {
	last := lower(t.r[e-1])
	if last < utf8.RuneSelf && !labelEnds[last] {
		return name{}, false
	}
	for _, l := range labels[last] {
		if start, fits := t.matchLabel(l.word, e); fits && (!ok || start < found.start) {
			found, ok = name{l, start, e}, true
		}
	}
	if ok {
		return found, true
	}
	// Any other …番号 and …No names something else; behind a gap, の or another naming word it only continues.
	start := e
	switch {
	case t.endsAt(e, "番号"):
		start = e - 2
	case last == 'o' && lower(t.peek(e-2)) == 'n' && !isLetter(t.peek(e)):
		start = e - 2
	default:
		return name{}, false
	}
	before := t.peek(start - 1)
	if !isKanji(before) && !isKatakana(before) {
		return name{}, false
	}
	if _, named := t.nameEnding(start); named {
		return name{}, false
	}
	return name{label{kind: other}, start, e}, true
}

// matchLabel matches a label backward from rune e. A word in Latin letters is matched as a whole word.
func (t *folded) matchLabel(word []rune, e int) (start int, ok bool) {
	i := e
	for k := len(word) - 1; k >= 0; k-- {
		if word[k] == ' ' {
			for n := 0; n < 2 && i > 0 && strings.ContainsRune(" _-.'’", t.r[i-1]); n++ {
				i--
			}
			continue
		}
		if i == 0 || lower(t.r[i-1]) != word[k] {
			return 0, false
		}
		i--
	}
	if isLetter(t.r[e-1]) && isLetter(t.peek(e)) && !(isUpper(t.peek(e)) && !isUpper(t.r[e-1])) {
		return 0, false
	}
	if isLetter(t.r[i]) && isLetter(t.peek(i-1)) && !(isUpper(t.r[i]) && !isUpper(t.peek(i-1))) {
		return 0, false
	}
	return i, true
}

// named tells whether what begins at rune i is named as that kind, on its line or by its heading: a contrary word that stands
// nearer wins.
func (t *folded) named(i int, kind string) bool {
	is, decided := false, false
	t.names(i, func(n name) bool {
		is = n.kind == kind
		decided = is || n.kind != version && (!n.weak || n.kind == other)
		return !decided
	})
	if !decided {
		n, ok := t.heading(i)
		return ok && n.kind == kind
	}
	return is
}

// misnamed tells whether a word right before rune i names something that is not of that kind.
func (t *folded) misnamed(i int, kind string) bool {
	contrary := func(n name) bool { return n.kind != kind && (!n.weak || n.kind == other) }
	is, on := false, false
	t.names(i, func(n name) bool {
		is, on = contrary(n) && t.joins(n.end, i), true
		return false
	})
	if !on {
		n, ok := t.heading(i)
		return ok && contrary(n)
	}
	return is
}

// joiners are the words that may stand between a naming word and its value.
var joiners = []string{"預金", "口座", "番号", "number", "is", "was", "no", "No", "NO", "№", "は", "の", "が", "も", "を", "に", "第", "コード"}

// joins tells whether only spaces, punctuation and joining words stand in [start, end).
func (t *folded) joins(start, end int) bool {
next:
	for start < end {
		if strings.ContainsRune(" \t\n:=()[]{}「」『』【】\"'#.,、・|/<>→-*※■●◆▼", t.r[start]) {
			start++
			continue
		}
		for _, word := range joiners {
			if t.hasAt(start, word) {
				start += utf8.RuneCountInString(word)
				continue next
			}
		}
		return false
	}
	return true
}
