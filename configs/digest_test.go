package configs

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// firstDigests are what runs of the first release carry.
var firstDigests = []struct {
	file             string // empty: the defaults
	set              map[string]any
	digest, training string
}{
	{"", nil,
		"0a7fae9775142c17d37074fca7f9d8f7ac4f8292a4299488bc99e89e244f45a0",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"retrain_borea_phi35_so8t_config.yaml", nil,
		"7197643d62ff75f6b4841fa70893a4c6c89e137ad3e6081b60be447fd8677402",
		"a2d680b7b59d48fc3cc2664cb2d490fee34035a02dac829f99354a85d7054e0d"},
	{"demo.yaml", nil,
		"85ecc540a07d172a0a546ba3918ccbba0cd72430737e091b81b1401ff0cbae1b",
		"d2e656716f6fdd4cdc7469ad9ddaba6e27bfebea7bb95619aa18b05559d8b08c"},
	{"", map[string]any{"nightly.keep": 3},
		"0a7fae9775142c17d37074fca7f9d8f7ac4f8292a4299488bc99e89e244f45a0",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"", map[string]any{"training.fp16": true},
		"7197643d62ff75f6b4841fa70893a4c6c89e137ad3e6081b60be447fd8677402",
		"a2d680b7b59d48fc3cc2664cb2d490fee34035a02dac829f99354a85d7054e0d"},
	{"", map[string]any{"training.bf16": true},
		"7197643d62ff75f6b4841fa70893a4c6c89e137ad3e6081b60be447fd8677402",
		"a2d680b7b59d48fc3cc2664cb2d490fee34035a02dac829f99354a85d7054e0d"},
	{"", map[string]any{"training.gradient_checkpointing_keep": "attention"},
		"0a7fae9775142c17d37074fca7f9d8f7ac4f8292a4299488bc99e89e244f45a0",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"", map[string]any{"model.keep_expanded": true},
		"0a7fae9775142c17d37074fca7f9d8f7ac4f8292a4299488bc99e89e244f45a0",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"", map[string]any{"training.gradient_checkpointing": false},
		"0a7fae9775142c17d37074fca7f9d8f7ac4f8292a4299488bc99e89e244f45a0",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"", map[string]any{"so8t.layers": []any{0, 2}},
		"b9667bff668b86fda170ec2df272020e041b79102d70e71851e925e304dbe5c1",
		"826f1b249331ba7f824dd5bb15687d986b7ba33cbfe23800db7590658e00fe60"},
	{"", map[string]any{"so8t.enabled": false},
		"cfa5df4b4bfcedafd2ddaed83bb0c8e09f0935c36ab10b9a787cc1c8106e7d95",
		"2d775a5f6d25c9ac98769414a725a2c0bfd3a079203d377d33ada353dc811dd1"},
	{"", map[string]any{"evaluation.max_new_tokens": 64},
		"ca8b6a42ef497833bc1b2259027846a25c648fda64e5d9ee251987ad40ebbe56",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"", map[string]any{"evaluation.batch_size": 3},
		"0a7fae9775142c17d37074fca7f9d8f7ac4f8292a4299488bc99e89e244f45a0",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"", map[string]any{"promotion.alpha": 0.01},
		"5a0f34ffa6707665fc72adacdf7f8ed60c69d1b0224dcb61f1eaa320c23191f1",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"", map[string]any{"ab_test.seed": 7},
		"74432f60420de05b14280855226d4de0941dfda664310e0ed384c393aec6af15",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"", map[string]any{"training.lora_target_modules": []any{"q_proj"}},
		"03d23e0a915e2164a9b055c040cb51458ac9a3f9e7eef45836aaef48adfeac21",
		"9552dd9b2e5efc968f800969c6261888043e0b60f49b066bea799dd2ed27e18a"},
	{"", map[string]any{"data.max_bad_fraction": 0.5},
		"026c719578f885f557003b649b5ead8a838f8e7fa23119918e8e5e1daa0cc6ff",
		"082cc563b72de12e42bb2ebc8ac143f7401aec2c5a2a51ed7f140c1b39e4a3d4"},
	{"", map[string]any{"device": "cpu"},
		"bcfdc561f8fe0996711e610a75945978754a58f221bebc14a6db3732b82fd362",
		"5cdf532f048d07377d49c40272b64ae0b188e55ecd21be564fa13104837fa41c"},
	{"", map[string]any{"threads": 2},
		"0a7fae9775142c17d37074fca7f9d8f7ac4f8292a4299488bc99e89e244f45a0",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
	{"", map[string]any{"training.learning_rate": 0.001, "training.seed": 7},
		"dc721e2b01d513257a4abfbf88732194070c6810f0f48fb6086c364a85e2f8d3",
		"5b69d4c86241221db07dd12a177759057d01bcaf9a742511803f60a8cc5f8fd8"},
	{"", map[string]any{"model.load_in_8bit": false},
		"caccfcdcef68777d6203883c4bd4eadba080666447f04144a91d2d3a650168c0",
		"1f3866924e4cd4ff36d92d1e05bf1d9ef08e56f52885031b5af707420ed1faa9"},
	{"", map[string]any{"data.use_quadruple_thinking": false},
		"a154401692c7adcb357a04a85e35d4b3bd0af8117b125a88305dd9324a5f6c0b",
		"4250edc77fdcbb0e2e94bef75d63472cf8564966e4c972960c1e66c170f905fb"},
	{"", map[string]any{"checkpoint.max_checkpoints": 2, "training.save_steps": 5},
		"0a7fae9775142c17d37074fca7f9d8f7ac4f8292a4299488bc99e89e244f45a0",
		"aae5e45df43ae10a74e1f957befa19e33086461c40f620603d2e854250ea5bad"},
}

func TestDigestsStay(t *testing.T) {
	for _, c := range firstDigests {
		config, err := Parse("c.yaml", []byte(least), c.set)
		if c.file != "" {
			config, err = Load(c.file, c.set)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := config.Digest(); got != c.digest {
			t.Errorf("%s %v: digest %s", c.file, c.set, got)
		}
		if got := config.TrainingDigest(); got != c.training {
			t.Errorf("%s %v: training digest %s", c.file, c.set, got)
		}
	}
}

// leaf is one key.
type leaf struct {
	key   string
	tags  []string // digest, of the key and its sections
	value reflect.Value
}

func leaves(v reflect.Value, at string, tags []string) (out []leaf) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		key := strings.TrimPrefix(at+"."+name, ".")
		inherited := tags
		if tag, ok := f.Tag.Lookup("digest"); ok {
			inherited = append(slices.Clone(tags), tag)
		}
		if f.Type.Kind() == reflect.Struct {
			out = append(out, leaves(v.Field(i), key, inherited)...)
			continue
		}
		out = append(out, leaf{key, inherited, v.Field(i)})
	}
	return out
}

// change gives a key another value.
func (l leaf) change(t *testing.T) {
	switch v := l.value; v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int:
		v.SetInt(v.Int() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 0.125)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b"}))
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	default:
		t.Fatalf("%s: no test for %s", l.key, v.Type())
	}
}

// Every key changes the digests exactly as its tag says; a key without one decides both.
func TestDigestsFollowTags(t *testing.T) {
	before := Default()
	of := func(c *Config) []leaf { return leaves(reflect.ValueOf(c).Elem(), "", nil) }
	count := map[string]int{}
	for i, l := range of(&before) {
		after := Default()
		of(&after)[i].change(t)
		for _, tag := range l.tags {
			if tag != decidesNothing && tag != decidesVerdict && tag != added {
				t.Errorf("%s: digest:%q is no tag", l.key, tag)
			}
			count[tag]++
		}
		digest := !slices.Contains(l.tags, decidesNothing)
		training := digest && !slices.Contains(l.tags, decidesVerdict)
		if got := after.Digest() != before.Digest(); got != digest {
			t.Errorf("%s: changes the digest: %t, its tags %q say %t", l.key, got, l.tags, digest)
		}
		if got := after.TrainingDigest() != before.TrainingDigest(); got != training {
			t.Errorf("%s: changes the training digest: %t, its tags %q say %t", l.key, got, l.tags, training)
		}
	}
	if count[decidesNothing] == 0 || count[decidesVerdict] == 0 || count[added] < 10 {
		t.Errorf("tags found: %v", count)
	}
}

// openSecrets lists keys that would hold a secret: their name has a word for one, and they are not the text of an
// environment variable's name.
func openSecrets(v reflect.Value) (out []string) {
	words := []string{"token", "password", "passphrase", "passwd", "secret", "secrets", "key", "keys", "apikey", "credential", "credentials", "dsn"}
	for _, l := range leaves(v, "", nil) {
		parts := strings.FieldsFunc(l.key, func(r rune) bool { return r == '_' || r == '.' })
		isSecret := slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(words, p) })
		isEnv := strings.HasSuffix(l.key, "_env")
		if (isSecret || isEnv) && !(isEnv && l.value.Kind() == reflect.String) {
			out = append(out, l.key)
		}
	}
	return out
}

// Configs travel through histories: see the package's comment.
func TestNoSecretInConfig(t *testing.T) {
	if out := openSecrets(reflect.ValueOf(Config{})); len(out) > 0 {
		t.Errorf("these would carry secrets through histories: %v", out)
	}
	var made struct {
		Store struct {
			AccessKey    string   `json:"access_key"`
			SecretKeyEnv string   `json:"secret_key_env"`
			TokenEnv     []string `json:"token_env"`
		} `json:"store"`
		Password     string `json:"password,omitempty"`
		MaxNewTokens int    `json:"max_new_tokens"`
	}
	if out := openSecrets(reflect.ValueOf(made)); !slices.Equal(out, []string{"store.access_key", "store.token_env", "password"}) {
		t.Errorf("found %v", out)
	}
}
