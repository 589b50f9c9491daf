#!/usr/bin/env python3
"""make_cases.py DIR writes pii_own.jsonl: variants of the kinds of pii.jsonl, each expected value from the rule of its kind.
Numbers are random and made whole or broken by python-stdnum, phonenumbers and ipaddress (pip install python-stdnum phonenumbers)."""
import ipaddress, json, random, sys
import phonenumbers
from stdnum import iban, luhn
from stdnum.jp import cn, in_

random.seed(20261127)
R, cases = random, []

def add(group, text, kinds=(), gone=(), kept=()):
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    gone = [gone] if isinstance(gone, str) else list(gone)
    cases.append({"id": f"ow-{len(cases) + 1:04d}", "group": group, "text": text, "kinds": sorted(kinds), "gone": gone, "kept": list(kept)})

def digits(n, first="0123456789"):
    return R.choice(first) + "".join(R.choice("0123456789") for _ in range(n - 1))

def wide(s):
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in s)

def kanji(s):
    return s.translate(str.maketrans("0123456789", "〇一二三四五六七八九"))

def my_number(ok=True):
    while True:
        n = digits(12)
        if in_.is_valid(n) == ok:
            return n

def corporate(ok=True):
    while True:
        n = digits(1, "123456789") + digits(12, "689")
        if cn.is_valid(n) == ok:
            return n

def card(prefix, n):
    body = prefix + digits(n - 1 - len(prefix))
    return body + luhn.calc_check_digit(body)

def licence(ok=True):
    body = R.choice(["10", "20", "30", "44", "45", "50", "62", "73", "90", "97"]) + digits(2) + "99" + digits(4)
    check = (sum(int(d) * w for d, w in zip(reversed(body), [2, 3, 4, 5, 6, 7, 2, 3, 4, 5])) % 11)
    check = {0: 1, 1: 0}.get(check, 11 - check)
    return body + str(check if ok else (check + 1) % 10) + digits(1, "0123")

def groups(s, *sizes, sep=" "):
    ends = [sum(sizes[:k + 1]) for k in range(len(sizes))]
    return sep.join(s[e - n:e] for e, n in zip(ends, sizes))

HYPHENS = "-‐‑−–—―ー－"

def phone(area, mid=None, sep="-", form=None):
    n = 10 if not area.startswith(("070", "080", "090", "050")) else 11
    while True:
        rest = digits(n - len(area))
        a, b = rest[:-4], rest[-4:]
        if phonenumbers.is_valid_number(phonenumbers.parse(area + rest, "JP")):
            return (form or "{0}" + sep + "{1}" + sep + "{2}").format(area, a, b)

def emails():
    around = [("お問い合わせは{}まで", ["お問い合わせは", "まで"]), ("連絡先:{}、担当見本", ["連絡先", "担当見本"]), ("{}宛にお送りください", ["宛にお送りください"]),
              ("(mail: {})", ["mail"]), ("E-mail：{}。", ["。"]), ("<{}>", []), ("「{}」です", ["です"]), ("| メール | {} |", ["メール"]), ("a,{},b", ["a,", ",b"]),
              ('{{"email": "{}"}}', ["email"]), ("送信元{}から", ["送信元", "から"]), ("contact={};", ["contact"]), ("Ask {}, please.", ["Ask", "please"]), ("{}?", [])]
    for i, a in enumerate(["a@example.com", "taro.mihon@example.co.jp", "x+tag@sub.mail.example.org", "o'brien@example.com", "hanako-m@example.ne.jp",
        "info@mihon.example.or.jp",
                           "user_01@example.ac.jp", "k..sato.@docomo.ne.jp", "9876@example.net", "A.B@Example.COM", "me@example.museum", "q@example.io",
                               "info@見本.jp",
                           "info@xn--wgv71a119e.jp", '"taro mihon"@example.com', "info@例え.みんな", "s@example.tokyo", "ops@a-b.example.city.kobe.jp",
                               "x@163.com",
                           "first.last@dept.example.lg.jp", "ｉｎｆｏ@example.jp", wide("sales@example.co.jp"), "sales＠example.com", "m%sales@example.org"]):
        for text, kept in R.sample(around, 4):
            if '"' in a and ('"' in text or "E-mail" in text):
                continue
            add("email", text.format(a), "email", a, kept)
    for text in ["logo@2x.png", "banner@3x.jpg と banner@2x.webp", "npm i @types/node@20.1.0", "vue@3.4.21 と react@18.2.0", "@app.route('/') を付ける",
        "@dataclass", "@media (max-width: 600px)",
                 "単価＠500円", "user@localhost", "root@db01:~$ ls", "W = X@Y.T", "h = q@k.T", "pip install torch@https://x", "@mihon と @reiji に返信", "A @ B",
                     "会費@3,000円/人",
                 "ローカル部＠ドメイン", "foo@bar", "foo@.com", "@example.com", "x@y.z", "git@github.com:mihon/reiji.git", "https://user:word@host.example.com/",
                     "uses: actions/checkout@v4",
                 "docker pull mihon/app@sha256:0123abcd", "go get example.com/mod@v1.2.3", "cargo add serde@1.0.197", "4個@120円", "ping @here",
                     "style@1x.svg", "lib@1.2.dev"]:
        add("none/email", text)

def phones():
    around = [("電話は{}です", ["電話は", "です"]), ("TEL:{}", ["TEL"]), ("お問い合わせは{}まで。", ["まで。"]), ("見本商店 {} 営業中", ["見本商店", "営業中"]), ("電話\t{}\t担当", ["電話", "担当"]),
              ("（{}）", []), ("{}に折り返します", ["に折り返します"]), ("FAX {} / 備考", ["FAX", "備考"]), ("担当：見本、{}、内線なし", ["担当：見本", "内線なし"]), ("電話,{},東京", ["電話,", "東京"])]
    areas = ["03", "06", "011", "022", "045", "052", "075", "078", "082", "092", "098", "0463", "0120", "0138", "0742", "04992", "070", "080", "090", "050"]
    for area in areas:
        for h in R.sample(HYPHENS, 3):
            p = phone(area, sep=h)
            text, kept = R.choice(around)
            add("phone/hyphen", text.format(p), "phone", p, kept)
        for form in ["{0}({1}){2}", "({0}){1}-{2}", "({0}) {1}-{2}", "{0}（{1}）{2}", "（{0}）{1}-{2}", "{0} {1} {2}", "{0} ({1}) {2}", "{0} - {1} - {2}"]:
            p = phone(area, form=form)
            text, kept = R.choice(around[:5])
            add("phone/form", text.format(p), "phone", p, kept)
        for name in R.sample(["電話：{}", "TEL {}", "携帯番号は{}です", "Phone: {}", "連絡先 {}", "ファックス{}", "℡{}", "☎ {}", "Tel.{}", "FAX番号：{}", '"phone": "{}"',
            "| 電話番号 | {} |",
                              "<td>電話</td><td>{}</td>", "mobile={}", "tel:{}", "お電話番号（{}）", "電話の番号は {}", "ＴＥＬ／{}", "phone_number: {}"], 4):
            p = phone(area, sep="")
            add("phone/named", name.format(p), "phone", p)
        p = wide(phone(area, sep="-"))
        add("phone/wide", f"ＴＥＬ：{p}まで", "phone", p, ["まで"])
        p = kanji(phone(area, form="{0}（{1}）{2}"))
        add("phone/kanji", f"電話　{p}", "phone", p, ["電話"])
        p = kanji(phone(area, sep="－"))
        add("phone/kanji", f"電話は{p}です", "phone", p, ["です"])
        p = "+81-" + phone(area)[1:]
        add("phone/plus81", f"国外からは{p}へ", "phone", p, ["国外からは", "へ"])
        p = "+81" + phone(area, sep="")[1:]
        add("phone/plus81", f"Call {p}.", "phone", p, ["Call"])
        p = "＋" + wide("81 (0)" + phone(area, sep=" ")[1:])
        add("phone/plus81", f"電話 {p} です", "phone", p, ["です"])
    for p in ["+44 20 7946 0018", "+44 (0)20 7946 0321", "+1 202-555-0178", "+1 (415) 555-0132", "+1-212-555-0199", "+49 30 901820", "+33 1 42 68 53 00",
        "+86 10 6552 9988", "+82-2-312-3456",
              "+61 2 5550 4321", "+353 1 676 1234", "+39 06 6982", "+65 6123 4567", "+886 2 2345 6789", "+91 98765 43210", "+55 11 96123-4567",
                  "+852 2123 4567", "+1.202.555.0147"]:
        n = phonenumbers.parse(p, None)
        if phonenumbers.is_valid_number(n):
            add("phone/abroad", f"連絡は{p}まで", "phone", p, ["まで"])
            add("phone/abroad", f"Dial {p} now.", "phone", p, ["Dial", "now."])
    for p in ["(202) 555-0143", "(212)555-0187", "202-555-0156", "1-415-555-0111", "1 (312) 555-0190", "(305) 555‑0102", wide("(202) 555-0143")]:
        for text in ["Call {} today.", "Tel {}", "He gave {}, then left.", "番号は{}です"]:
            add("phone/us", text.format(p), "phone", p)
    for p in ["202 555 0143", "202.555.0143"]:
        add("phone/us", f"Phone: {p}", "phone", p)
    for text in ["2024-01-05 から 2024-02-01", "期間：2025/04/01～2026/03/31", "10:30-11:45", "〒100-0001 東京都", "郵便番号 060-0001", "ISBN 4-00-310101-4",
        "ISBN978-4-00-310101-8",
                 "注文番号 0312-3456-7890", "型番 03-1234-5678", "伝票番号：0123-4567-8901", "品番 045-012-3456", "GUID {3f2504e0-4f89-11d3-9a0c-0305e82c3301}",
                     "価格は0312345678ではない",
                 "1,234,567,890円", "0.0312345678", "ver 03.1234.5678", "メッセージID 0312345678", "ログ 0901234567890", "1699999999", "1700000000000",
                     "3.14159265358979", "-35.6812, 139.7671",
                 "2-1-0", "100-200-300", "012-34", "00-0000-0000", "MAC 01-23-45-67-89-ab", "JAN 4901234567894", "勝敗は03-1234", "+100000円", "+2.5%",
                     "UTC+09:00", "1+2345678", "C++11", "第03-12号",
                 "SN-03-1234-5678", "03-1234-5678-90", "A03-1234-5678", "03-1234-5678B", "110、119、118", "#0312345678", "order 555-123-4567-890",
                     "part 202-555-01433", "19700101-20261231",
                 "電話番号は10桁または11桁です", "電話は3回鳴った", "FAX 2台", "内線 1234", "電話代 12345678円", "tel が 123 件", "連絡は2026年3月31日まで", "090-1234-567", "03-1234-567",
                 "追跡番号 1234-5678-9012", "座標 0312345678 点", "管理番号0312345678", "社員番号：09012345678", "0x0312345678", "1e0312345678"]:
        add("none/phone", text)

def addresses():
    munis = ["東京都新宿区", "大阪府堺市堺区", "愛知県名古屋市中区", "北海道札幌市中央区", "宮城県仙台市青葉区", "広島市南区", "京都市左京区", "沖縄県那覇市", "新潟県長岡市", "埼玉県さいたま市浦和区",
             "茨城県つくば市", "福島県いわき市", "千葉県市川市", "三重県四日市市", "広島県廿日市市", "石川県野々市市", "東京都八王子市", "東京都西多摩郡奥多摩町", "長野県北佐久郡軽井沢町", "奈良県吉野郡十津川村",
             "山梨県南アルプス市", "神奈川県茅ヶ崎市", "東京都町田市", "福島県郡山市", "愛知県蒲郡市", "岐阜県大垣市", "高知県高知市", "鹿児島市", "川崎市川崎区", "横浜市港北区"]
    towns = ["見本町", "例示台", "架空坂", "仮町", "六本木", "緑が丘", "虎ノ門", "霞が関", "桜木", "三田", "一番町", "九段南", "みなとみらい", "さくら", "大字見本", "字例示", "本町", "東例示", "栄", "南青葉台"]
    houses = ["1-2-3", "4-5", "12-34-5", "二丁目3番4号", "3丁目2-1", "１丁目２番３号", "12番地", "12番地3", "12番地の3", "100番地の2", "5番6号", "１－２－３", "一丁目二番三号", "三番地", "十二番地",
              "2−3−4", "7ー8ー9", "1丁目1-1-203", "45番", "１２３４番地", "3–4–5", "四丁目5番6号", "9の8の7"]
    around = [("住所は{}です。", ["住所は", "です。"]), ("{}までお届けください。", ["までお届けください。"]), ("送付先：{}", ["送付先"]), ("〒123-4567 {} 電話なし", ["電話なし"]), ("{}に住んでいます",
        ["に住んでいます"]),
              ("| 住所 | {} |", ["住所"]), ("本社（{}）", ["本社"]), ("{}、見本ビル", []), ("氏名：見本\n住所：{}\n以上", ["氏名：見本", "以上"]), ("会場は{}にあります", ["会場は", "にあります"])]
    for m in munis:
        for house in R.sample(houses, 5):
            town = R.choice(towns)
            text, kept = R.choice(around)
            add("address", text.format(m + town + house), "postal_address", town + house, kept)
    for a, gone in [("東京都 千代田区 見本町 1-2-3", "見本町 1-2-3"), ("東京都,千代田区,見本町1-2-3", "見本町1-2-3"), ("大阪府　大阪市北区　仮町２－３", "仮町２－３"),
                    ("京都市中京区寺町通御池上る見本町488番地", "見本町488番地"), ("札幌市中央区北5条西6丁目7-8", "西6丁目7-8"), ("北海道虻田郡見本町345番地", "見本町345番地"),
                    ("長野県松本市大字見本字例示1234番地5", "例示1234番地5"), ("東京都千代田区見本町1丁目2番3号 例示マンション405号室", "見本町1丁目2番3号"), ("福岡市博多区見本1-2-3-401", "見本1-2-3-401"),
                    ("大阪府堺市堺区見本町1丁2番3号", "見本町1丁2番3号"), ("東京都千代田区丸の内1-2-3", "丸の内1-2-3"), ("東京都文京区春日1-2", "春日1-2"), ("京都市南区西九条5-6", "西九条5-6"),
                    ("東京都新宿区高田馬場2-3-4", "高田馬場2-3-4"), ("京都市東山区祇園町12番地", "祇園町12番地"), ("東京都国分寺市西国分3-4-5", "西国分3-4-5"), ("岩手県盛岡市見本第5地割12番地", "12番地")]:
        add("address/form", f"届け先 {a} 様", "postal_address", gone, ["届け先"])
    for a in ["4-5-6 Reiji-cho, Naka-ku, Nagoya", "1-2 Kakuzaka, Minato-ku, Tokyo 105-0000", "2-3-4 Mihon, Nishi-ku, Yokohama-shi, Kanagawa",
        "7-8-9 Kari-machi, Kita-ku, Osaka 530-0000, Japan",
              "10-20 Honcho, Matsumoto-shi, Nagano", "Minato-ku, Mihon 3-2-1", "Chiyoda-ku, Reiji-cho 1-2-3", "Reiji-cho 1-2-3, Chiyoda-ku, Tokyo"]:
        add("address/romaji", f"Send it to {a}.", "postal_address", a.split(", Tokyo")[0] if not a[0].isdigit() else a.split(", ")[0], ["Send it to"])
        add("address/romaji", f"Address: {a}", "postal_address", a.split(", Tokyo")[0] if not a[0].isdigit() else a.split(", ")[0], ["Address"])
    for a in ["12 Example Avenue, Portland, OR 97205", "1600 Sample Blvd., Austin, TX 78701", "9 Mihon Road, Apt 4B, Boston, MA 02108-1234",
        "350 Fifth Avenue, New York, NY 10118",
              "77 N. Main St., Dayton, OH 45402", "221 Maple Lane, Suite 300, Salt Lake City, UT 84101", "5 Oak Dr, Reno, Nevada 89501",
                  "742 Sample Street\nSpringfield, IL 62704"]:
        add("address/us", f"Ship to {a}, please.", "postal_address", a[:12], ["Ship to"])
        add("address/us", f"Ship to {a}", "postal_address", a[:12], ["Ship to"])
    for text in ["横浜市の人口は377万人", "東村山市 1番", "東京都町田市 2-1", "江東区豊洲3-4人前", "世田谷区三軒茶屋2-3分", "新宿区歌舞伎町1丁目の店", "渋谷区で1-0、新宿区で2-1", "千代田区は23区の1つ", "大阪市北区で5人が受賞",
        "名古屋市中区の会場で3-2の接戦", "横浜市対川崎市は3-2だった", "札幌市が2-1で勝利", "京都市は1-0で敗れた", "東京都港区 2-1 大阪市",
                 "新宿区第1会議室", "福岡市中央区の第2会場", "町内会の3-4組", "市立図書館2-3階", "市外局番は03-1", "区間1-2を走る", "村長は3期12年", "郡部の5番目", "さいたま市で2-0", "松本市の標高は592メートル",
                 "仙台市青葉区で1番の人気", "那覇市の気温は25度", "3丁目の夕日", "見本町の人", "第1章 2-3 節", "1-2-3の順", "A-1-2-3", "横浜市西区で4月5日に開催", "長野県松本市 2025-11-08",
                     "横浜市西区例示台 220-0000",
                 "千代田区の条例第3条2項", "川崎市川崎区の試合結果 2-1", "神戸市の予算1-2月分", "The Minato-ku office opened in 2019.", "Room 1-2-3 is closed", "10 Downing Street",
                     "Chapter 1-2 of Main Street",
                 "5 Streets in IL", "42 people live in Springfield, IL", "Highway 61, MN", "1-2-3 Go, Team", "広島市南区は1945年", "堺市堺区へ3人", "鹿児島市から2-3時間",
                     "区役所の3番窓口", "町田市立見本小学校3年2組",
                 "横浜市営バス1-2系統", "大阪市を1-0で破った", "広島市の5番打者", "京都市左京区で3番目に大きい", "郡山市は人口32万", "2-ジクロロエタン", "1,2-ジブロモ-3-クロロプロパン", "町村合併3-4件", "東京都の3-5月",
                     "大阪府の第3四半期 2-1"]:
        add("none/address", text)

def numbers():
    for name in ["マイナンバーは{}です", "個人番号：{}", "マイナンバー（{}）を提出", "My Number: {}", "her individual number is {}.", "| 個人番号 | {} |", "個人番号\t{}\t済", "my_number={}",
        "マイナンバーを教えます。{}です。",
                 "個人番号は「{}」", "ﾏｲﾅﾝﾊﾞｰ {}", "マイナンバー:{}、電話なし", "【個人番号】{}", "個人番号の欄に{}と書いた", '"my_number": "{}"', "Individual Number ({})"]:
        for form in ["{}", "4", "-", "w"]:
            n = my_number()
            v = n if form == "{}" else groups(n, 4, 4, 4) if form == "4" else groups(n, 4, 4, 4, sep=R.choice(HYPHENS)) if form == "-" else wide(n)
            add("my_number", name.format(v), "my_number", v)
        add("none/my_number", name.format(my_number(False)))
        add("none/my_number", name.format(digits(13, "1")))
    for name in ["注文番号 {}", "追跡番号：{}", "伝票番号 {}", "マイナンバーではなく注文番号 {}", "製造番号{}", "ID {}", "{} バイト", "個人番号は12桁。問い合わせ番号 {}"]:
        add("none/my_number", name.format(my_number()))
    for name in ["法人番号は{}です", "法人番号：{}", "Corporate Number: {}", "| 法人番号 | {} |", "法人番号({})", "corporate_number={}", "会社の法人番号 {} を確認"]:
        for form in range(4):
            n = corporate()
            v = [n, groups(n, 1, 4, 4, 4, sep="-"), wide(n), groups(n, 1, 4, 4, 4)][form]
            add("corporate", name.format(v), "corporate_number", v)
        add("none/corporate", name.format(corporate(False)))
    for name in ["登録番号：{}", "登録番号 {}", "適格請求書発行事業者の登録番号は{}です", "インボイス番号 {}", "適格請求書発行事業者 {}", "登録番号（{}）"]:
        n = corporate()
        for v in ["T" + n, "Ｔ" + wide(n), "T-" + n]:
            add("corporate/invoice", name.format(v), "corporate_number", v[1:] if v[1] != "-" else n)
        add("none/corporate", name.format("T" + corporate(False)))
    for name in ["JANコード {}", "ISBN {}", "注文番号 {}", "法人番号は13桁。JAN {}", "タイムスタンプ {}"]:
        add("none/corporate", name.format(corporate()))
    for prefix, n, sizes in [("4", 16, (4, 4, 4, 4)), ("51", 16, (4, 4, 4, 4)), ("55", 16, (4, 4, 4, 4)), ("2221", 16, (4, 4, 4, 4)), ("2720", 16, (4, 4, 4,
        4)), ("34", 15, (4, 6, 5)), ("37", 15, (4, 6, 5)),
                             ("3528", 16, (4, 4, 4, 4)), ("3589", 16, (4, 4, 4, 4)), ("300", 14, (4, 6, 4)), ("305", 14, (4, 6, 4)), ("36", 14, (4, 6, 4)),
                                 ("38", 14, (4, 6, 4)), ("6011", 16, (4, 4, 4, 4)),
                             ("644", 16, (4, 4, 4, 4)), ("649", 16, (4, 4, 4, 4)), ("65", 16, (4, 4, 4, 4)), ("62", 16, (4, 4, 4, 4)), ("62", 17, None),
                                 ("62", 18, None), ("62", 19, (6, 13)),
                             ("4", 19, (4, 4, 4, 4, 3)), ("6011", 19, (4, 4, 4, 4, 3))]:
        for text in R.sample(["カード番号は{}です", "{}で支払う", "カード：{}（有効期限 12/30）", "card {}, exp 01/29", "決済に{}を使った", "| カード | {} |", "番号\t{}\t名義", "VISA/JCB {}",
            "Pay with {}.",
                              "クレジットカード{}", '"card_number": "{}"', "{} 12/28"], 5):
            v = card(prefix, n)
            forms = [v, wide(v)] + ([groups(v, *sizes), groups(v, *sizes, sep=R.choice(HYPHENS))] if sizes else [])
            v = R.choice(forms)
            add("card", text.format(v), "credit_card", v)
        bad = card(prefix, n)
        bad = bad[:-1] + str((int(bad[-1]) + 1) % 10)
        add("none/card", f"カード番号 {bad}")
    for text in [f"IMEI {card('35', 15)}", f"JAN {card('45', 13)}", f"JAN {card('49', 13)}", f"時刻 {card('17', 13)}", f"{card('18', 16)} μs",
        f"ICCID {card('89811', 19)}", f"0.{card('4', 16)}", f"{card('4', 16)}.5e3",
                 f"0x{card('4', 16)}", f"a{card('4', 16)}", f"{card('4', 16)}ff", f"注文番号 {card('4', 16)}",
                     f"x-{card('4', 16)}", f"{card('1', 16)}", f"{card('7', 16)}", f"{card('9', 16)}",
                 f"{card('56', 16)}", f"{card('2220', 16)}", f"{card('2721', 16)}", f"{card('3527', 16)}", f"{card('3590', 16)}", f"{card('306', 14)}",
                     f"{card('4', 13)}", f"売上は{card('4', 16)}円", f"追跡番号 {card('4', 16)}",
                 "1.0000000000000002e16", "4111-1111-1111-1111-1", "20251108103045", "2025110810304512", "UUID 41111111-1111-4111-8111-111111111111"]:
        add("none/card", text)

def banks():
    for text in ["普通 {}", "普通預金 {}", "普通預金口座 {}", "当座 {}", "当座預金：{}", "口座番号{}", "口座番号は{}です", "（普）{}", "(当) {}", "普通：{}", "普通口座No.{}", "普通 No. {}",
        "Account number: {}", "account no. {}",
                 "Acct No {}", "| 口座番号 | {} |", "口座番号\t{}", "account_number={}", '"account_number": "{}"', "貯蓄預金 {}", "普通　口座番号　{}", "普通　{}　ミホン（カ",
                     "bank account {}", "支店001 普通 {} 見本太郎", "口座No：{}"]:
        for v in [digits(7), wide(digits(7))]:
            add("bank", text.format(v), "bank_account", v)
    for text in ["ゆうちょ銀行 記号 {} 番号 {}", "記号：{}　番号：{}", "記号{}、番号{}", "ゆうちょ 記号{}-番号{}", "| 記号 | {} | 番号 | {} |"]:
        a, b = "1" + digits(3) + "0", digits(7, "123456789") + "1"
        add("bank/yucho", text.format(a, b), "bank_account", b)
    a, b = "1" + digits(3) + "0", digits(7, "123456789") + "1"
    add("bank/yucho", f"ゆうちょ銀行 {a}-{b}", "bank_account", b)
    for v in ["DE89 3704 0044 0532 0130 00", "FR14 2004 1010 0505 0001 3M02 606", "GB29NWBK60161331926819", "NL91ABNA0417164300",
        "CH93 0076 2011 6238 5295 7", "ES9121000418450200051332",
              "IT60X0542811101000000123456", "NO93 8601 1117 947", "SE4550000000058398257466", "BE71096123456769", "PL61109010140000071219812874",
                  "SA0380000000608010167519", "IE29AIBK93115212345678",
              "MT84MALT011000012345MTLCAST001S", "GR1601101250000000012300695", "AE070331234567890123456", "TR330006100519786457841326",
                  "LC55HEMM000100010012001200023015", "BR1800360305000010009795493C1"]:
        assert iban.is_valid(v), v
        for text in ["IBAN {}", "送金先は{}です", "Pay to {}, please", "IBAN:{}", "({})"]:
            w = R.choice([v, v.replace(" ", ""), " ".join(v.replace(" ", "")[i:i + 4] for i in range(0, len(v), 4)).strip(), wide(v.replace(" ", ""))])
            add("bank/iban", text.format(w), "bank_account", w)
        bad = v[:3] + str((int(v[3]) + 1) % 10) + v[4:]
        add("none/bank", f"IBAN {bad}")
    for text in ["普通列車は{}本", "普通の人{}人", "会員番号 {}", "普通は{}円です", "顧客番号：{}", "注文 {}", "当座の資金は{}円", "口座数は{}件", "学籍番号{}", "普通郵便の追跡番号 {}", "口座番号は7桁です", "残高 {}",
        "普通 1234567890", "口座番号 123456",
                 "普通預金の残高は{}円", "記号 12340 の部品 番号なし", "商品コード {}", "普通会員の会員番号 {}", "{}", "電話番号 {}", "整理番号：{}", "口座は開設済み。受付番号 {}"]:
        add("none/bank", text.format(digits(7, "123456789")))

def letters(n):
    return "".join(R.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(n))

def papers():
    for text in ["パスポート番号は{}です", "旅券番号 {}", "Passport No. {}", "passport number: {}", "| 旅券番号 | {} |", "旅券番号：{}（有効）", "パスポート：{}", "passport_no={}",
        "Passport number is {}", "パスポートの番号は「{}」"]:
        v = letters(2) + digits(7)
        for w in [v, wide(v)]:
            add("passport", text.format(w), "passport", w)
    for text in ["部品番号 {}", "型番 {}", "パスポート申請の受付番号 {}", "追跡番号 {}", "管理番号：{}", "{} を発注", "ロット {}", "製品 {}"]:
        add("none/passport", text.format(letters(2) + digits(7)))
    for text in ["運転免許証番号は{}です", "免許証番号：{}", "免許の番号 第{}号", "Driver's license number: {}", "License No. {}", "| 免許証番号 | {} |", "運転免許証の番号は{}",
        "driver_license_number={}", "免許証番号（{}）", "driving licence number {}"]:
        for _ in range(2):
            v = licence()
            add("licence", text.format(v), "driver_license", v)
        v = wide(licence())
        add("licence", text.format(v), "driver_license", v)
    for text in ["伝票番号 {}", "注文番号：{}", "追跡番号{}", "会員番号 {}", "ID: {}", "免許証の更新の受付番号 {}"]:
        add("none/licence", text.format(licence()))
    add("none/licence", "免許証番号は12桁です")
    add("none/licence", "免許証番号 1234567890123")
    for text in ["基礎年金番号は{}です", "基礎年金番号：{}", "| 基礎年金番号 | {} |", "年金手帳の基礎年金番号 {} を控える", "basic pension number: {}", "基礎年金番号（{}）", "基礎年金番号の欄に{}"]:
        n = digits(10, "123456789")
        for v in [n, n[:4] + "-" + n[4:], wide(n[:4] + "-" + n[4:]), n[:4] + R.choice(HYPHENS) + n[4:]]:
            add("pension", text.format(v), "pension_number", v)
    for text in ["受付番号 {}", "整理番号：{}", "文書番号 {}", "型番 {}", "基礎年金番号は4桁-6桁。受付番号 {}", "{} を参照"]:
        add("none/pension", text.format("2025-" + digits(6)))
    for text in ["在留カード番号：{}", "在留カード番号は{}です", "Residence card number: {}", "residence card no. {}", "| 在留カード番号 | {} |", "在留カードの番号 {}", "在留カード {}（有効）"]:
        v = letters(2) + digits(8) + letters(2)
        for w in [v, wide(v), v[:2] + " " + v[2:10] + " " + v[10:]]:
            add("residence", text.format(w), "residence_card", w)
    for text in ["追跡番号 {}", "EMS {}", "国際郵便の番号は{}", "型番 {}", "在留カードとは別の受付番号 {}"]:
        add("none/residence", text.format(letters(2) + digits(8) + letters(2)))

def machines():
    for v in ["8.8.8.8", "203.0.113.254", "198.51.100.23", "192.0.2.1", "133.1.2.3", "1.1.1.1", "172.32.0.1", "11.0.0.1", "2001:db8::1",
        "2001:db8:0:0:1::ffff", "2400:cb00:2048:1::c629:d7a2",
              "2606:4700:4700::1111", "::ffff:203.0.113.7", "2001:0DB8:AC10:FE01::", "2001:db8::192.0.2.33"]:
        ipaddress.ip_address(v)
        for text in ["アクセス元は{}でした", "from {} port 22", "host {}, ok", "IP: {}", "{} に接続", "「{}」", "src={} dst", "サーバー（{}）が応答", "拒否:{}。", "| IP | {} |",
            "接続元{}から"]:
            add("ip", text.format(v), "ip_address", v)
        add("ip/port", f"http://[{v}]:8080/" if ":" in v else f"http://{v}:8080/x", "ip_address", v)
        if ":" in v and not v.endswith("::"):
            add("ip/zone", f"ping {v}%eth0 ok", "ip_address", v, ["ok"])
        add("ip/prefix", f"経路 {v}/24 を追加" if "." in v and ":" not in v else f"経路 {v}/64 を追加", "ip_address", v, ["経路", "を追加"])
        if ":" not in v:
            add("ip/wide", f"接続元は{wide(v)}です", "ip_address", wide(v), ["接続元は", "です"])
    for text in ["10.0.0.1", "172.16.5.4", "192.168.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.0", "169.254.1.1", "224.0.0.251", "::1", "fe80::1",
        "fd12:3456::1", "ff02::1", "::", "バージョン1.2.3.4", "ver.1.2.3.4", "v1.2.3.4",
                 "Version 4.8.2.1 をインストール", "version: 9.8.7.6", "1.2.3.4.5", "OID 1.3.6.1.4.1.311", "256.1.1.1", "1.2.3", "2025.11.08.1",
                     "package==1.2.3.4", "nginx/1.25.3.1", "foo-1.2.3.4.tar.gz", "app-1.2.3.4",
                 "std::string", "Foo::Bar::baz", "a::b", "Abc::Add", "10:20:30", "10:20:30:40:50:60", "00:1a:2b:3c:4d:5e", "x[1000::2]", "第1.2.3.4節",
                     "1.2.3.4 版", "Firmware 5.6.7.8", "リリース 3.2.1.0 を公開", "ビルド 10.0.19041.1",
                 "::before", "dead::beef", "use Foo::", "2000年::", "12:00::", "ratio 1:2:3:4", "[::]", "sha256:ab12::", "rev 1.0.0.2",
                     "Chrome 120.0.6099.109", "1.2.3.400", "01.02.03.04", "バージョン管理は 2.13.0.1 から"]:
        add("none/ip", text)

def general():
    for text in ["気温は21.5度、湿度は60%", "2026年11月27日(金) 06:50", "第9条第2項", "民法第709条", "3対2で勝利", "1/2カップ", "Q3の売上は12億3,456万円", "解像度 1920x1080", "A4で10枚",
        "Python 3.12.1", "x = 1e-4", "50m走 7.2秒", "4-2-3-1の布陣",
                 "2,2,4-トリメチルペンタン", "CAS 64-17-5", "CAS 7732-18-5", "JIS X 0208-1997", "ISO 8601-1:2019", "RFC 5322", "0.1+0.2", "36協定", "100-1",
                     "1-0 2-1 3-3", "9:00-17:30", "00:00:00.000", "1600万色", "二〇二六年十一月",
                 "三々五々", "一二三", "〇か×か", "七五三", "一-二-三", "五十歩百歩", "学習率 1e-5、バッチ 32", "p<0.05", "GPU 0,1,2,3", "batch_size=16", "http://example.com/a/1",
                     "id=12345678", "HTTP/1.1 200 OK", "port 8080", "2^31-1",
                 "1234567890", "0123456789", "000-0000-0000", "①②③", "H2O", "COVID-19", "R2-D2", "777", "ISBN 4-06-519981-9"]:
        add("none/general", text)
    add("multi", f"電話 03-1234-0098 090-1234-5678", "phone", ["03-1234-0098", "090-1234-5678"])
    add("multi", f"氏名,電話,メール\n見本,090-1234-5678,a.b@example.com\n例示,080-1111-2222,c@example.org", ["phone", "email"], ["090-1234-5678", "080-1111-2222",
        "a.b@example.com", "c@example.org"], ["氏名", "例示"])
    n, c = my_number(), corporate()
    add("multi", f"個人番号 {n} 法人番号 {c}", ["my_number", "corporate_number"], [n, c], ["個人番号", "法人番号"])
    add("multi", f"口座番号 1357913、カード 4111-1111-1111-1111、接続元 203.0.113.9", ["bank_account", "credit_card", "ip_address"], ["1357913", "4111-1111-1111-1111",
        "203.0.113.9"])

for make in (emails, phones, addresses, numbers, banks, papers, machines, general):
    make()
with open(sys.argv[1] + "/pii_own.jsonl", "w") as out:
    for case in cases:
        out.write(json.dumps(case, ensure_ascii=False) + "\n")
print(len(cases))
