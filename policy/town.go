package policy

import "strings"

// particles begin a run of hiragana that is grammar and no part of a town's name.
var particles = strings.Split("から|まで|です|ます|では|には|にて|にも|にお|に関|につ|にあ|にい|によ|での|でも|でき|です|とい|とし|との|とは|など|より|だけ|しか|する|した|して|され|さん|"+
	"さま|いる|いた|ある|あっ|った|って|おけ|において|における|へと|への|へ向|をめ|を|は|が、|も、|や|へ|なら|など|のうち|のは|のが|のに|のを|こと|これ|その|この|また|および|かつ|ので|のみ|"+
	"について|ため|ところ|ほど|ずつ|あたり|くらい|ごろ|うち|ほか", "|")

// notTown ends what stands before a number that is no house's: results, sections, parts, codes.
var notTown = strings.Split("校|大学|高専|チーム|戦|クラブ|代表|病院|医院|駅|店|国道|県道|府道|都道|道道|市道|町道|村道|高速|号線|路線|沿線|本線|章|節|項|回|試合|スコア|結果|得点|点差|順|"+
	"地図|図表|式|問|前半|後半|時点|約|全|計|版|課題|番組|バス|系統|型|室|ページ|品番|型番|電話|番号|コード|人口|面積|対|敗|大会|協会|議会|委員会|会議|会場|課|係|局|役所|事務所|研究所|"+
	"裁判所|場所|保健所|会館|図書館|体育館|美術館|博物館|公民館|公園|動物園|幼稚園|保育園|学園|球場|競技場|劇場|工場|駐車場|広場|本部|支部|学部|ホール|ランキング|順位|シリーズ|リーグ|カップ|"+
	"議案|資料|別紙|別表|様式|法案|条例|規則|予算|比率|率|差|値|数|額|計画|報告|便|号|選手|監督|優勝|決勝|予選|市内|区内|町内|県内|都内|案内|以内|国内|社内|以外|毎月|今月|毎週|平日|"+
	"営業時間|受付|座席|階|棟|市|区|郡", "|")

// isTown tells whether [start, end) is the name of a town, as it stands between a municipality and the number of a house.
func (t *folded) isTown(start, end int) bool {
	for start < end && strings.ContainsRune(" ,\t", t.r[start]) {
		start++
	}
	for start < end && strings.ContainsRune(" ,\t", t.r[end-1]) {
		end--
	}
	if start == end || isHiragana(t.r[end-1]) && !t.kanaTown(start, end) {
		return false
	}
	for _, word := range notTown {
		if t.endsAt(end, word) && !t.hasAt(start, "大字") {
			return false
		}
	}
	gaps := 0
	for i := start; i < end; i++ {
		if t.r[i] == '第' && !t.sectionOfIwate(i) { // 第三条, 第2会場
			return false
		}
		if strings.ContainsRune(" ,\t", t.r[i]) {
			gaps++
		}
		if !isHiragana(t.r[i]) {
			continue
		}
		k := i
		for k < end && isHiragana(t.r[k]) {
			k++
		}
		if k-i == 1 && !t.links(i, start) || k-i > 1 && t.particle(i) {
			return false
		}
		i = k - 1
	}
	return gaps <= 2
}

// links tells whether a single hiragana may stand within a town's name: 緑が丘, 虎の門, 一つ橋, 上る.
func (t *folded) links(i, start int) bool {
	if i == start {
		return t.r[i] == 'お'
	}
	return strings.ContainsRune("がのつるりけきえむみお", t.r[i])
}

// particle tells whether a run of hiragana begins with grammar.
func (t *folded) particle(i int) bool {
	for _, word := range particles {
		if t.hasAt(i, word) {
			return true
		}
	}
	return false
}

// kanaTown tells whether a name ends with hiragana as names do: さくら, みなとみらい, すすきの; 上る, 下る in Kyoto.
func (t *folded) kanaTown(start, end int) bool {
	i := end
	for i > start && isHiragana(t.r[i-1]) {
		i--
	}
	if end-i == 1 {
		return i > start && (t.endsAt(end, "上る") || t.endsAt(end, "下る"))
	}
	return !t.particle(i) && !strings.ContainsRune("はをにでへと", t.r[end-1])
}

// sectionOfIwate: 第5地割 is part of a place's name.
func (t *folded) sectionOfIwate(i int) bool {
	end, ok := t.numeral(i + 1)
	return ok && t.hasAt(end, "地割")
}
