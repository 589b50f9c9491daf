package policy

import (
	"slices"
	"strings"
)

// findAddresses finds a municipality and a town with a block or house number, in Japanese or romanised, and street addresses of
// the United States. A place without a house is none.
func findAddresses(t *folded) (spans []span) {
	end := 0
	for _, place := range t.places {
		if place < end {
			continue
		}
		if s, ok := t.address(place); ok {
			spans = append(spans, s)
			end = s.end
		}
	}
	for g := range t.digits {
		if s, ok := t.romanised(g); ok {
			spans = append(spans, s)
		} else if s, ok := t.street(g); ok {
			spans = append(spans, s)
		}
	}
	return spans
}

// maxTown is how many characters may stand between a municipality and the number of a house.
const maxTown = 28

// notMunicipal follows 市, 区, 町, 村 or 郡 where they name no municipality: 市立, 区役所, 町長.
var notMunicipal = []rune("立内長民役場街外営政史制会議道区間分域画切別有家人工業")

// address reads an address whose municipality ends with rune place.
func (t *folded) address(place int) (span, bool) {
	i := place + 1
	if slices.Contains(notMunicipal, t.peek(i)) && !t.townAfter(i) {
		return span{}, false
	}
	start, ok := t.municipality(place)
	if !ok {
		return span{}, false
	}
	town := i
	for ; i-town <= maxTown; i++ {
		c := t.peek(i)
		if end, ok := t.house(i); ok {
			return span{start, end, formed}, t.isTown(town, i) && t.ends(i, end)
		}
		switch {
		case isDigit(c):
			for isDigit(t.peek(i + 1)) { // Sapporo counts its streets: 北5条西6丁目7-8
				i++
			}
			if t.peek(i+1) != '条' && t.peek(i+1) != '線' && !t.hasAt(i+1, "地割") {
				return span{}, false
			}
		case isKanji(c) || isKatakana(c) || isHiragana(c):
		case (c == ' ' || c == ',' || c == '\t') && t.peek(i+1) != c:
		default:
			return span{}, false
		}
	}
	return span{}, false
}

// townAfter tells whether what looks like 区間 or 町内 is a town after all: 市外 is none, 市場町 is.
func (t *folded) townAfter(i int) bool {
	return slices.Contains([]rune("町台丘ヶケが之"), t.peek(i+1)) && t.peek(i) != '立'
}

// kanaMunicipalities are those whose names hold hiragana before 市, 町 or 村: how far a name goes back cannot be told otherwise.
var kanaMunicipalities = strings.Split("さいたま|つくば|いわき|むつ|つがる|にかほ|かすみがうら|つくばみらい|ひたちなか|さくら|みどり|ふじみ野|いすみ|あきる野|かほく|あわら|"+
	"みよし|いなべ|たつの|南あわじ|紀の川|うきは|みやま|みやこ|えびの|いちき串木野|うるま|おいらせ|せたな|むかわ|えりも|ときがわ|みなかみ|おおい|かつらぎ|すさみ|東みよし|"+
	"まんのう|つるぎ|いの|あさぎり|さつま|東かがわ|さぬき|ほのか|湯の花|みなべ|ひがし|緑が丘|虎の門|霞が関|霞ケ関|袖ケ浦|袖ヶ浦|鎌ケ谷|龍ケ崎|茅ヶ崎|駒ヶ根|駒ケ根|"+
	"七ヶ浜|七ケ浜|関ケ原|みどり野|みなと|つばめ|ひので|もとす|うつくしま|ニセコ|南アルプス|さがみはら|よこはま|みはま|ときわ|みほん|れいじ", "|")

var prefectures = strings.Split("北海道|青森県|岩手県|宮城県|秋田県|山形県|福島県|茨城県|栃木県|群馬県|埼玉県|千葉県|東京都|神奈川県|新潟県|富山県|石川県|福井県|山梨県|長野県|"+
	"岐阜県|静岡県|愛知県|三重県|滋賀県|京都府|大阪府|兵庫県|奈良県|和歌山県|鳥取県|島根県|岡山県|広島県|山口県|徳島県|香川県|愛媛県|高知県|福岡県|佐賀県|長崎県|熊本県|大分県|"+
	"宮崎県|鹿児島県|沖縄県", "|")

// maxMunicipality is the length of a municipality's name with its prefecture's.
const maxMunicipality = 14

// municipality returns where the name that ends with rune place begins: with its prefecture, or with the characters that names
// are made of.
func (t *folded) municipality(place int) (start int, ok bool) {
	start = place
	for _, word := range kanaMunicipalities {
		if n := len([]rune(word)); place-start < n && t.endsAt(place, word) {
			start = place - n
		}
	}
	for start > 0 && place-start < maxMunicipality && (isKanji(t.r[start-1]) || isKatakana(t.r[start-1]) && t.r[start-1] != 'ー') {
		start--
	}
	if start == place {
		return 0, false
	}
	for k := place - 2; k >= start; k-- { // what stands before the prefecture is no part of the address
		for _, prefecture := range prefectures {
			if t.hasAt(k, prefecture) {
				return k, true
			}
		}
	}
	for _, prefecture := range prefectures { // "東京都 千代田区", "東京都, 千代田区"
		k := start
		for k > 0 && start-k < 2 && strings.ContainsRune(" ,\t", t.r[k-1]) {
			k--
		}
		if k < start && t.endsAt(k, prefecture) {
			return k - len([]rune(prefecture)), true
		}
	}
	return start, true
}

// numeral returns where the number that begins at rune i ends: digits, or kanji digits with tens and hundreds.
func (t *folded) numeral(i int) (end int, ok bool) {
	end = i
	if isDigit(t.peek(i)) {
		for isDigit(t.peek(end)) {
			end++
		}
		return end, end-i <= 5
	}
	for c := t.peek(end); kanjiDigit(c) >= 0 || c == '十' || c == '百' || c == '千'; c = t.peek(end) {
		end++
	}
	return end, end > i && end-i <= 7
}

// house reads the number of a block or a house at rune i: 1-2-3, 四丁目5番6号, 2丁目3−4, 12番地, 5番6号, 345番地6.
func (t *folded) house(i int) (end int, ok bool) {
	end, ok = t.numeral(i)
	if !ok || t.peek(i) == '0' {
		return 0, false
	}
	houses := 0 // numbers that say more than a town's section does
	first := true
	for {
		after := end
		switch {
		case first && t.hasAt(end, "丁目"):
			after = end + 2
		case first && t.peek(end) == '丁' && (isDigit(t.peek(end+1)) || kanjiDigit(t.peek(end+1)) >= 0): // Sakai counts without 目
			after = end + 1
		case t.hasAt(end, "番地"):
			after, houses = end+2, houses+2
		case t.hasAt(end, "番") && !t.hasAt(end, "番号"):
			after, houses = end+1, houses+1
		case t.hasAt(end, "号"):
			return end + 1, houses > 0
		}
		marked := after > end
		end = after
		if !marked && !first {
			houses++
		}
		first = false
		next := end
		if marked && t.peek(next) == ' ' {
			next++
		}
		if c := t.peek(next); isHyphen(c) || c == 'の' && (marked || houses > 0 || isDigit(t.peek(i)) || kanjiDigit(t.peek(i)) >= 0) {
			next++
		} else if !marked {
			break
		}
		more, ok := t.numeral(next)
		if !ok || next > end && t.peek(next-1) == ' ' && t.peek(next) == '0' {
			break
		}
		if marked && t.endsAt(end, "丁目") && next == end && t.peek(more) != '番' && !isDigit(t.peek(next)) && kanjiDigit(t.peek(next)) < 0 {
			break
		}
		end = more
	}
	return end, houses > 0 && t.isHouse(i, end)
}

// isHouse refuses what only looks like the number of a house: a postal code, a date, 1番人気, a number that goes on.
func (t *folded) isHouse(i, end int) bool {
	var lengths []int
	text := string(t.r[i:end])
	for part := range strings.FieldsFuncSeq(text, isHyphen) {
		lengths = append(lengths, len([]rune(part)))
	}
	switch {
	case len(lengths) == 2 && lengths[0] == 3 && lengths[1] == 4, len(lengths) == 3 && lengths[0] == 4 && lengths[1] <= 2 && lengths[2] <= 2 && t.r[i] <= '2':
		return false
	case strings.HasSuffix(text, "番"):
		c := t.peek(end)
		return !isKanji(c) && !isKatakana(c) && c != '、'
	}
	return true
}

// ends tells whether the number of a house is whole: [i, end) is part of no other number, and what follows makes it none.
func (t *folded) ends(i, end int) bool {
	if !t.closes(end) && !(isLetter(t.peek(end)) && isUpper(t.peek(end))) || t.counts(end) {
		return false
	}
	for _, word := range []string{"倍", "対", "勝", "で勝", "で敗", "で引き分け", "で破", "で下", "の勝", "の引き分け", "の順", "位", "章", "節", "条", "項", "話", "巻", "組",
		"で負", "の大差", "の接戦", "で完封", "番ホーム", "番線", "、前半", "とな", "の敗"} {
		if t.hasAt(end, word) {
			return false
		}
	}
	return true
}
